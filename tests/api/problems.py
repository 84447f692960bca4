"""What every refusal looks like (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx2

MEMBERS = {"type", "title", "status", "detail", "code", "instance"}

MORE = {"mfa_required": ("mfa_token", "expires_in", "enrolled")}
"""What goes on from a problem."""


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """The problem that this answer is; an AssertionError where it is none, or one of ours."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found.keys() - {"errors", *MORE.get(found["code"], ())} == MEMBERS
    assert found["status"] == answer.status_code
    assert found["title"] == HTTPStatus(answer.status_code).phrase
    assert found["instance"] == answer.headers["X-Request-Id"]
    assert found["type"].endswith(found["code"])
    return found


def told(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code, for people and for programs."""
    return answer.status_code, problem(answer)["code"]


def places(answer: httpx2.Response) -> list[str]:
    """The pointers and parameters that the problem names; none may lack its sentence."""
    errors = problem(answer).get("errors", [])
    assert all(error["detail"] for error in errors)
    return [error["parameter"] if "parameter" in error else error["pointer"] for error in errors]
