"""identity users set-password"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from identity.api import ROUTES
from identity.cli.perform import perform
from identity.cli.show import show_done

ROUTE = next(route for route in ROUTES if route.name == "put_password")


def set_password(
    tenant_id: Annotated[str, typer.Argument(metavar="TENANT_ID", show_default=False)],
    user_id: Annotated[str, typer.Argument(metavar="USER_ID", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """Set a user's password, and end all their sessions.

    It is asked for, or the first line of standard input: an argument would stand in the shell's history, and in the
    list of processes.
    """
    changed = perform(ROUTE, {"tenant_id": tenant_id, "user_id": user_id}, {"password": _given()})
    assert changed is not None
    show_done(f"Password set; sessions ended: {changed['sessions_ended']}.", as_json=as_json)


def _given() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
