"""identity verify"""

from __future__ import annotations

import asyncio
import getpass
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.text import Text
from rich.tree import Tree

from identity.cli.perform import open_at_hand
from identity.cli.show import console
from identity.cli.start import database, read_settings
from identity.errors import StartError
from identity.settings import Settings
from identity.verify import Verdict, Verification


@dataclass(frozen=True)
class Link:
    """One link of the chain: under which it hangs, what it is when it holds, the codes by which it fails, and what
    mends each."""

    name: str
    under: str
    holds: str
    fails: dict[str, str]


CHAIN = (
    Link("text", "", "text: whole", {"malformed": "no key of ours, or a typo: its checksum is wrong"}),
    Link("key", "text", "key {key_id}: {name}", {"not_found": "no such key, or its secret is another"}),
    Link("revocation", "key", "not revoked", {"revoked": "for good: issue another"}),
    Link("switch", "key", "enabled", {"disabled": "identity keys enable {tenant_id} {app_id} {key_id}"}),
    Link(
        "expiry",
        "key",
        "expires {expires_at}",
        {"expired": "identity keys update {tenant_id} {app_id} {key_id} --expires-at …"},
    ),
    Link(
        "tenant",
        "key",
        "tenant {tenant_id}",
        {
            "tenant_deleted": "identity tenants restore {tenant_id}",
            "tenant_suspended": "identity tenants activate {tenant_id}",
        },
    ),
    Link(
        "app",
        "tenant",
        "app {app_id}",
        {
            "app_deleted": "identity apps restore {tenant_id} {app_id}",
            "app_disabled": "identity apps enable {tenant_id} {app_id}",
        },
    ),
    Link(
        "branch",
        "app",
        "branch {branch_id}",
        {
            "branch_deleted": "identity branches restore {tenant_id} {app_id} {branch_id}",
            "branch_disabled": "identity branches enable {tenant_id} {app_id} {branch_id}",
        },
    ),
    Link(
        "user",
        "app",
        "user {user_id}",
        {
            "user_deleted": "identity users restore {tenant_id} {user_id}",
            "user_suspended": "identity users activate {tenant_id} {user_id}",
            "user_locked": "identity users unlock {tenant_id} {user_id}",
        },
    ),
    Link(
        "access",
        "user",
        "may use {app_id}",
        {"access_revoked": "identity access grant {tenant_id} {app_id} {user_id}"},
    ),
    Link("environment", "key", "for {environment}", {"wrong_environment": "it is for {environment}"}),
    Link("asked app", "key", "for this app", {"wrong_app": "it is of {app_id}"}),
    Link("asked branch", "key", "for this branch", {"wrong_branch": "it is bound to {branch_id}"}),
    Link("scopes", "key", "holds {scopes}", {"insufficient_scope": "it holds only {scopes}"}),
)
"""In the order in which a verdict judges them."""


def verify(
    scope: Annotated[list[str] | None, typer.Option(help="What it must be good for; may be given again.")] = None,
    app_id: Annotated[str | None, typer.Option(help="The app it must be of.")] = None,
    branch_id: Annotated[str | None, typer.Option(help="The branch it must be good for.")] = None,
    environment: Annotated[str | None, typer.Option(help="live or test.")] = None,
    ip: Annotated[str | None, typer.Option(help="Where it is used from.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict as the API gives it.")] = False,
) -> None:
    """Explain whether a key is good, link by link. Exit code 1: it is not.

    The key is asked for, or read from standard input: identity verify < key.txt"""
    key = getpass.getpass("Key (not shown): ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        asked = Verification(
            key=key.strip(),
            scopes=tuple(scope or ()),
            app_id=app_id,
            branch_id=branch_id,
            environment=environment,
            ip=ip,
        )
    except ValidationError as error:
        found = error.errors(include_input=False)[0]
        raise StartError(f"The option --{str(found['loc'][0]).removesuffix('s')} is wrong: {found['msg']}.") from None
    with database(read_settings()) as settings:
        verdict = asyncio.run(_verify(settings, asked))
    if as_json:
        typer.echo(verdict.model_dump_json())
    else:
        console().print(explained(verdict))
    raise typer.Exit(0 if verdict.valid else 1)


async def _verify(settings: Settings, asked: Verification) -> Verdict:
    async with open_at_hand(settings) as service:
        return await service.verifier.verify(asked)


def explained(verdict: Verdict) -> Tree:
    """The chain as a tree: green as far as it holds, red where it fails, dim where nothing was judged any more."""
    says = {name: _said(value) for name, value in verdict.model_dump(mode="json").items()}
    root = Tree(Text(verdict.code, style="bold green" if verdict.valid else "bold red"))
    branches, state = {"": root}, "holds"
    for link in CHAIN:
        if state == "holds" and verdict.code in link.fails:
            state = "fails"
        branches[link.name] = branches[link.under].add(_drawn(link, state, verdict, says))
        state = "unknown" if state == "fails" else state
    return root


def _drawn(link: Link, state: str, verdict: Verdict, says: dict[str, str]) -> Text:
    if state == "fails":
        mend = link.fails[verdict.code].format_map(says)
        return Text.assemble(("✗ ", "red"), (f"{link.name}: {verdict.code}", "bold red"), f"  {mend}")
    if state == "unknown":
        return Text(f"· {link.name}: not judged", style="dim")
    return Text.assemble(("✓ ", "green"), _held(link, verdict, says))


def _held(link: Link, verdict: Verdict, says: dict[str, str]) -> str:
    """What is not there holds too: a key without a branch is good for each."""
    absent = {
        "branch": (verdict.branch_id, "any branch"),
        "user": (verdict.user_id, "nobody's own"),
        "access": (verdict.user_id, "needs no access"),
        "expiry": (verdict.expires_at, "never expires"),
        "scopes": (verdict.scopes, "no scopes, and none asked"),
    }
    value, instead = absent.get(link.name, (True, ""))
    return link.holds.format_map(says) if value else instead


def _said(value: Any) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
