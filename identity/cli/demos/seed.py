"""identity seed"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

import typer

from identity.app_keys import AppKeyFilter, IssuedKey
from identity.cli.demos.plans import APPS, Plan, of, plans
from identity.cli.progress import Moved, progress
from identity.cli.start import cli_scope, database, read_settings
from identity.errors import NotFound, StartError
from identity.settings import Settings
from identity.stores import Stores, create_tenant, open_stores

BATCH_ROWS = 1000

Count = Annotated[int, typer.Option(min=0, help="In all, spread over the tenants.")]


def seed(
    tenants: Annotated[int, typer.Option(min=1, help="How many organisations.")] = 3,
    users: Count = 1000,
    branches: Count = 60,
    keys: Count = 5000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another number is another demo, beside this one.")] = 1,
    keys_to: Annotated[
        Path | None, typer.Option(help="JSON Lines with the text of each key made; only you can read it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was made, as one JSON object.")] = False,
) -> None:
    """Make a demo of any size. The same seed makes the same; run again, it makes only what is missing."""
    made: Counter[str] = Counter()
    with database(read_settings()) as settings, _texts(keys_to) as texts:
        wanted = list(plans(seed, tenants, users, branches, keys))
        with progress("seeding", users + branches + keys) as moved:
            asyncio.run(_seed(settings, wanted, texts, made, moved))
    counts = {noun: made[noun] for noun in ("tenants", "users", "branches", "keys")}
    told = ", ".join(f"{count:,} {noun}" for noun, count in counts.items())
    typer.echo(json.dumps(counts) if as_json else f"made {told}.")


@contextmanager
def _texts(path: Path | None) -> Iterator[TextIO | None]:
    """Appended to: the texts that are in it already can never be had again."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise StartError(f"Cannot write {path} ({error.strerror}): name another file by --keys-to.") from None
    with os.fdopen(descriptor, "a") as file:
        yield file


async def _seed(
    settings: Settings, wanted: Sequence[Plan], texts: TextIO | None, made: Counter[str], moved: Moved
) -> None:
    async with open_stores(settings) as stores:
        for plan in wanted:
            await Seeding(stores.acting_as(cli_scope()), plan, made, moved, texts).run()


@dataclass
class Seeding:
    """One tenant of the demo on its way into the database: what is there already is left as it is."""

    stores: Stores
    plan: Plan
    made: Counter[str] = field(default_factory=Counter)
    moved: Moved = lambda done, rows: None
    texts: TextIO | None = None

    async def run(self) -> None:
        await self._tenant()
        for ns in _batches(range(self.plan.users)):
            await self._users(ns)
        for app in APPS:
            for ns in _batches(of(app.id, self.plan.branches)):
                await self._branches(app.id, ns)
        there = await self._keys_there()
        for app in APPS:
            for ns in _batches([n for n in of(app.id, self.plan.keys) if n not in there]):
                await self._keys(app.id, ns)
        self._count("looked at", len(there))

    @property
    def tenant_id(self) -> str:
        return self.plan.tenant_id

    def _count(self, noun: str, count: int, looked_at: int | None = None) -> None:
        self.made[noun] += count
        self.made["done"] += count if looked_at is None else looked_at
        self.moved(self.made["done"], self.made["done"])

    async def _tenant(self) -> None:
        try:
            await self.stores.tenants.get(self.tenant_id)
        except NotFound:
            await create_tenant(self.stores, self.plan.new_tenant())
            self.made["tenants"] += 1
        there = {app.id for app in await self.stores.apps.get_many(self.tenant_id, [app.id for app in APPS])}
        await self.stores.apps.create_many(self.tenant_id, [app for app in APPS if app.id not in there])

    async def _users(self, ns: Sequence[int]) -> None:
        there = {user.id for user in await self.stores.users.get_many(self.tenant_id, list(map(self.plan.user_id, ns)))}
        missing = [n for n in ns if self.plan.user_id(n) not in there]
        async with self.stores.transaction() as tx:
            await tx.users.create_many(self.tenant_id, [self.plan.new_user(n) for n in missing])
            for app in APPS:
                ids = [self.plan.user_id(n) for n in missing if self.plan.has_access(n, app.id)]
                await tx.user_apps.grant_many(self.tenant_id, app.id, ids)
            for n in missing:
                if (status := self.plan.user_status(n)) != "active":
                    verb = tx.users.suspend if status == "suspended" else tx.users.lock
                    await verb(self.tenant_id, self.plan.user_id(n))
        self._count("users", len(missing), len(ns))

    async def _branches(self, app_id: str, ns: Sequence[int]) -> None:
        ids = [self.plan.branch_id(n) for n in ns]
        there = {branch.id for branch in await self.stores.branches.get_many(self.tenant_id, app_id, ids)}
        missing = [n for n in ns if self.plan.branch_id(n) not in there]
        async with self.stores.transaction() as tx:
            await tx.branches.create_many(self.tenant_id, app_id, [self.plan.new_branch(n) for n in missing])
            for n in filter(self.plan.branch_is_disabled, missing):
                await tx.branches.disable(self.tenant_id, app_id, self.plan.branch_id(n))
        self._count("branches", len(missing), len(ns))

    async def _keys_there(self) -> set[int]:
        """By the number in their names: their ids are random, as they must be."""
        there: set[int] = set()
        for app in APPS:
            after: str | None = None
            while True:
                where = AppKeyFilter(app_id=app.id)
                page = await self.stores.app_keys.list(self.tenant_id, where, after=after, limit=BATCH_ROWS)
                numbers = (key.name.rpartition(" ")[2] for key in page.items)
                there |= {int(number) - 1 for number in numbers if number.isdecimal()}
                if (after := page.next) is None:
                    break
        return there & set(range(self.plan.keys))

    async def _keys(self, app_id: str, ns: Sequence[int]) -> None:
        """Their texts are written before they are committed: a key whose text is lost would be of no use."""
        async with self.stores.transaction() as tx:
            keys = await tx.app_keys.issue_many(self.tenant_id, app_id, [self.plan.new_key(n) for n in ns])
            for n, key in zip(ns, keys, strict=True):
                if (fate := self.plan.key_fate(n)) == "disabled":
                    await tx.app_keys.disable(self.tenant_id, app_id, key.id)
                elif fate == "revoked":
                    await tx.app_keys.revoke(self.tenant_id, app_id, key.id, reason="lost")
            if self.texts:
                self.texts.writelines(_line(key, self.plan.key_fate(n)) for n, key in zip(ns, keys, strict=True))
                self.texts.flush()
        self._count("keys", len(ns))


def _line(key: IssuedKey, state: str) -> str:
    told = {"tenant_id": key.tenant_id, "app_id": key.app_id, "key_id": key.id, "state": state, "key": key.key}
    return json.dumps(told) + "\n"


def _batches(ns: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ns), BATCH_ROWS):
        yield ns[start : start + BATCH_ROWS]
