"""identity verify"""

from __future__ import annotations

import asyncio
import getpass
import sys
from dataclasses import dataclass
from pathlib import Path
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
    Link("environment", "key", "for {environment}, as asked", {"wrong_environment": "it is for {environment}"}),
    Link("asked app", "key", "of {app_id}, as asked", {"wrong_app": "it is of {app_id}"}),
    Link("asked branch", "key", "good for the branch asked for", {"wrong_branch": "it is bound to {branch_id}"}),
    Link("address", "key", "may be used from {ip}", {"ip_not_allowed": "it may not be used from {ip}"}),
    Link("route", "key", "may be used for {route}", {"route_not_allowed": "it may not be used for {route}"}),
    Link("scopes", "key", "may do {asked}", {"insufficient_scope": "asked {asked}, and it holds {scopes}"}),
    Link("rate limits", "key", "{rate_limits}", {"rate_limited": "{rate_limits}, and it would take {cost}"}),
    Link("credits", "key", "{credits} credits left", {"credits_exhausted": "{credits} left, and it would take {cost}"}),
)
"""In the order in which a verdict judges them."""


def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where the key is; - is standard input.")] = "-",
    scope: Annotated[list[str] | None, typer.Option(help="What it must be good for; may be given again.")] = None,
    app_id: Annotated[str | None, typer.Option(help="The app it must be of.")] = None,
    branch_id: Annotated[str | None, typer.Option(help="The branch it must be good for.")] = None,
    environment: Annotated[str | None, typer.Option(help="live or test.")] = None,
    ip: Annotated[str | None, typer.Option(help="Where it is used from.")] = None,
    method: Annotated[str | None, typer.Option(help="With path: what it is used for.")] = None,
    path: Annotated[str | None, typer.Option(help="With method: what it is used for.")] = None,
    cost: Annotated[int, typer.Option(help="What to take of its limits; 0 looks without taking.")] = 0,
    tenant_id: Annotated[str | None, typer.Option(help="Whose it must be; its imported keys are known too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The verdict as the API gives it.")] = False,
) -> None:
    """Explain whether a key is good, link by link. Exit code 1: it is not.

    The key itself is no argument, since a shell remembers those: it is asked for, or read from a file."""
    try:
        asked = Verification(
            key=_read_key(file),
            scopes=tuple(scope or ()),
            app_id=app_id,
            branch_id=branch_id,
            environment=environment,
            ip=ip,
            method=method,
            path=path,
            cost=cost,
            tenant_id=tenant_id,
        )
    except ValidationError as error:
        found = error.errors(include_input=False)[0]
        option = str(found["loc"][0]).removesuffix("s").replace("_", "-")
        raise typer.BadParameter(found["msg"], param_hint=f"--{option}") from None
    with database(read_settings()) as settings:
        verdict = asyncio.run(_verify(settings, asked))
    if as_json:
        typer.echo(verdict.model_dump_json())
    else:
        console().print(explained(asked, verdict))
    raise typer.Exit(0 if verdict.valid else 1)


def _read_key(file: str) -> str:
    """As text, whatever it is: that it is no key of ours is the verifier's to say."""
    if file == "-" and sys.stdin.isatty():
        return getpass.getpass("Key (not shown): ").strip()
    try:
        raw = sys.stdin.buffer.readline() if file == "-" else Path(file).read_bytes()
    except OSError:
        raise StartError("There is no such file to read a key from; a key itself is no argument.") from None
    return raw.decode(errors="replace").strip()


async def _verify(settings: Settings, asked: Verification) -> Verdict:
    async with open_at_hand(settings) as service:
        return await service.verifier.verify(asked)


def explained(asked: Verification, verdict: Verdict) -> Tree:
    """The chain as a tree: green as far as it holds, red where it fails, dim where nothing was judged any more."""
    says = {name: _said(value) for name, value in verdict.model_dump(mode="json").items()}
    says |= {"asked": _said(list(asked.scopes)), "ip": asked.ip or "no address", "cost": str(asked.cost)}
    says["route"] = f"{asked.method or 'no method'} {asked.path or 'and no path'}"
    says["rate_limits"] = ", ".join(
        f"{each.name}: {each.remaining} of {each.limit}" for each in verdict.rate_limits or ()
    )
    absent = _absent(asked, verdict)
    root = Tree(Text(verdict.code, style="bold green" if verdict.valid else "bold red"))
    branches, state = {"": root}, "holds"
    for link in CHAIN:
        if state == "holds" and verdict.code in link.fails:
            state = "fails"
        drawn = _drawn(link, state, absent.get(link.name) or link.holds, link.fails.get(verdict.code, ""), says)
        branches[link.name] = branches[link.under].add(drawn)
        state = "unknown" if state == "fails" else state
    return root


def _drawn(link: Link, state: str, holds: str, mend: str, says: dict[str, str]) -> Text:
    if state == "fails":
        return Text.assemble(("✗ ", "red"), (link.name, "bold red"), f": {mend.format_map(says)}")
    if state == "unknown":
        return Text(f"· {link.name}: not judged", style="dim")
    return Text.assemble(("✓ ", "green"), holds.format_map(says))


def _absent(asked: Verification, verdict: Verdict) -> dict[str, str]:
    """What is said of links that hold because there is nothing to judge."""
    nothing = {
        "expiry": (verdict.expires_at, "never expires"),
        "branch": (verdict.branch_id, "good for every branch"),
        "user": (verdict.user_id, "owned by no user"),
        "access": (verdict.user_id, "so no access is needed"),
        "environment": (asked.environment, "no environment asked for"),
        "asked app": (asked.app_id, "no app asked for"),
        "asked branch": (asked.branch_id, "no branch asked for"),
        "address": (asked.ip, "good from anywhere"),
        "route": (asked.path, "good for any route"),
        "scopes": (asked.scopes, "no scope asked for"),
        "rate limits": (verdict.rate_limits, "no rate limits"),
        "credits": (verdict.credits is not None, "takes no credits"),
    }
    return {name: instead for name, (value, instead) in nothing.items() if not value}


def _said(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)
