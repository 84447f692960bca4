"""One family of errors; each carries the HTTP status that it means and the code by which a program knows it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: where (a JSON pointer into the body, or a parameter's name) and why."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class IdentityError(Exception):
    """What a caller may be told: `code` for programs, `detail` for people, never a secret or an internal."""

    status = 500

    def __init__(
        self, code: str, detail: str, *, errors: tuple[FieldError, ...] = (), ordinal: int | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.ordinal = ordinal
        """Which of many rows was wrong, counted from 0."""

    @property
    def headers(self) -> dict[str, str]:
        return {}

    @property
    def members(self) -> dict[str, object]:
        """What a program needs to go on from here (RFC 9457, section 3.2)."""
        return {}


class Invalid(IdentityError):
    """The caller got something wrong."""

    status = 400


class Unauthenticated(IdentityError):
    """No credential, or one that is not good (RFC 6750, section 3)."""

    status = 401

    def __init__(self, code: str, detail: str, *, presented: bool = True) -> None:
        super().__init__(code, detail)
        self.presented = presented

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"' if self.presented else "Bearer"}


class OAuthError(IdentityError):
    """What goes wrong at OAuth's endpoints is told in OAuth's own words (RFC 6749, section 5.2)."""

    status = 400


class InvalidClient(OAuthError):
    """Nobody says who they are, or not truly."""

    status = 401

    def __init__(self, detail: str) -> None:
        super().__init__("invalid_client", detail)

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Basic realm="identity"'}


class SlowDown(OAuthError):
    """What is asked is good, and comes too often."""

    status = 429

    def __init__(self, wait_s: float) -> None:
        super().__init__("slow_down", "This session was refreshed too often just now: wait, then go on.")
        self.wait_s = wait_s

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(math.ceil(self.wait_s))}


class Forbidden(IdentityError):
    """The credential is good, and not enough."""

    status = 403


class NotFound(IdentityError):
    """Nothing of that name, or not yours to see: the two look the same."""

    status = 404


class Conflict(IdentityError):
    """What is asked does not go with what is there."""

    status = 409


class PreconditionFailed(IdentityError):
    """If-Match or If-None-Match did not hold (RFC 9110, section 13)."""

    status = 412


class Unavailable(IdentityError):
    """The database did not answer in time; nothing is known to have changed. Worth another try."""

    status = 503

    def __init__(self, detail: str = "The database does not answer; try again shortly.") -> None:
        super().__init__("unavailable", detail)

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class StartError(Exception):
    """Why the program cannot start: one sentence that says what to do."""

    exit_code = 1


class BehindMigrations(StartError):
    """The database lacks migrations that this program needs."""

    exit_code = 3
