"""A tenant that moves: it is the same there, its keys are good, its people sign in; and nobody else's go with it."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator

import psycopg
import pytest
from argon2.low_level import Type, hash_secret_raw

from identity.app_keys import AppKeyChanges, NewAppKey
from identity.copies import Export
from identity.copies.lines import open_line
from identity.copies.store import select
from identity.copies.tables import COPIED, LEFT_OUT
from identity.users import NewUser
from tests.api.problems import told
from tests.conftest import PASSWORD, Organisation
from tests.copies.conftest import PASSPHRASE, Full, Installation
from tests.edge.canaries import found_in
from tests.people.test_secrets import TABLES
from tests.server import Database, execute

OF_THE_MACHINE = {"key_usage": ("created_at", "updated_at"), "factors": ("secret",)}
COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
 WHERE relnamespace = 'identity'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""


@pytest.fixture
async def arrived(full: Full, here: Installation, there: Installation) -> AsyncIterator[Full]:
    await there.take(await here.copy(full.org.id))
    yield full
    there.purge(full.org.id)


async def test_every_row_is_the_same_there(arrived: Full, here: Installation, there: Installation) -> None:
    id = arrived.org.id
    assert _of_no_machine(there.holds(id)) == _of_no_machine(here.holds(id))
    assert {*here.holds(id)} == {*COPIED}, "a table without a row proves nothing"
    counters = "SELECT noun, living FROM identity.tenant_counters WHERE tenant_id = %s ORDER BY noun"
    assert execute(there.database.admin_url, counters, id) == execute(here.database.admin_url, counters, id)


def _of_no_machine(found: dict[str, list[dict[str, object]]]) -> dict[str, list[dict[str, object]]]:
    return {
        table: [{name: row[name] for name in row if name not in OF_THE_MACHINE.get(table, ())} for row in rows]
        for table, rows in found.items()
    }


async def test_copied_again_it_is_the_same_copy(arrived: Full, here: Installation, there: Installation) -> None:
    first, second = [(await each.copy(arrived.org.id)).splitlines() for each in (here, there)]
    assert [line.partition(b',"sealed"')[0] for line in first[1:-1]] == [
        line.partition(b',"sealed"')[0] for line in second[1:-1]
    ]


async def test_its_keys_go_on_working(arrived: Full, there: Installation) -> None:
    for code, key in arrived.keys.items():
        expected = "valid" if code in ("freed", "limited") else code
        assert await there.verified(key.key) == expected
    listed = await there.client.get(arrived.org.path, headers={"Authorization": f"Bearer {arrived.org.admin_key.key}"})
    assert listed.status_code == 200


async def test_its_people_sign_in_by_password_and_second_factor(arrived: Full, there: Installation) -> None:
    async def sign_in(**more: str) -> tuple[int, str]:
        body = {"login": "BEN ÖKONOM", "password": PASSWORD, "app_id": "shop", **more}
        answer = await there.client.post(f"{arrived.org.path}/sessions", json=body)
        return (201, "") if answer.status_code == 201 else told(answer)

    assert await sign_in() == (401, "mfa_required")
    assert await sign_in(totp=arrived.spent) == (401, "sign_in_failed"), "a code that was good here is not good there"
    assert await sign_in(totp=arrived.totp.at(int(time.time()), counter_offset=1)) == (201, "")


async def test_what_a_worker_knew_before_it_was_purged_is_not_believed(
    org: Organisation, here: Installation, there: Installation
) -> None:
    others = [await here.stores.app_keys.issue(org.id, "shop", NewAppKey(name=f"key {n}")) for n in range(3)]
    await there.take(await here.copy(org.id))
    assert await there.verified(org.key.key) == "valid"
    there.purge(org.id)
    await here.stores.app_keys.revoke(org.id, "shop", org.key.id)
    await there.take(await here.copy(org.id))
    for other in others:
        await there.stores.app_keys.update(org.id, "shop", other.id, AppKeyChanges(name="renamed"))
    assert await there.verified(org.key.key) == "revoked"


async def test_secrets_are_in_no_line_in_any_spelling(full: Full, here: Installation) -> None:
    copy = await here.copy(full.org.id)
    secrets = [full.totp.secret, *(str(row["hash"]) for row in here.holds(full.org.id)["passwords"])]
    hashes = [
        str(row[column]).removeprefix(r"\x")
        for table, column in (("app_keys", "secret_hash"), ("recovery_codes", "hash"), ("factors", "secret"))
        for row in here.holds(full.org.id)[table]
        if row.get("algorithm") is None  # of a made-up one, which ends with zeros, as 1e300 does
    ]
    spelt = [base64.b64encode(bytes.fromhex(each)).decode() for each in hashes]
    assert len(hashes) > 10
    assert found_in(copy.decode(), [*secrets, *hashes, *spelt]) == []


async def test_nothing_of_another_tenant_goes_with_it(full: Full, here: Installation, other_org: Organisation) -> None:
    await here.stores.users.create(other_org.id, NewUser(id="stranger", username="stranger"))
    copy = (await here.copy(full.org.id)).decode()
    ref = other_org.key.id[:6]
    assert found_in(copy, [other_org.id, other_org.key.id, ref, "stranger"]) == []
    assert full.org.key.id in copy


async def test_each_statement_by_itself_reads_one_tenant_alone(
    full: Full, here: Installation, other_org: Organisation
) -> None:
    there_are = here.holds(full.org.id)
    with psycopg.connect(here.database.admin_url) as nobodys_wall:
        for table in COPIED.values():
            nobodys_wall.execute(select(table).encode(), {"tenant_id": full.org.id})
            assert len(nobodys_wall.execute("FETCH ALL FROM copied").fetchall()) == len(there_are[table.name])
            nobodys_wall.execute("CLOSE copied")


async def test_it_is_one_moment_although_people_write_meanwhile(org: Organisation, here: Installation) -> None:
    lines = Export(org.id, PASSPHRASE, here.settings.secret_keys).lines(here.stores)
    found = [await anext(lines), await anext(lines)]
    await here.stores.users.create(org.id, NewUser(id="late", username="late"))
    await here.stores.user_apps.revoke(org.id, "shop", "ana")
    await here.stores.app_keys.delete(org.id, "shop", org.key.id)
    found += [line async for line in lines]
    rows = [json.loads(line) for line in found]
    assert [row["row"]["id"] for row in rows if row.get("table") == "users"] == ["ana"]
    assert [row["row"]["status"] for row in rows if row.get("table") == "user_apps"] == ["active"]
    assert {row["row"]["id"] for row in rows if row.get("table") == "app_keys"} == {org.key.id, org.admin_key.id}


def test_each_table_and_column_is_copied_or_said_to_be_left_out(database: Database) -> None:
    there_are = {(table, column) for table, column, _ in execute(database.admin_url, COLUMNS)}
    tables = {name for (name,) in execute(database.admin_url, TABLES)}
    assert tables == {*COPIED} | {name for name in LEFT_OUT if "." not in name}
    tenants = {(name, "id" if name == "tenants" else "tenant_id") for name in COPIED}
    copied = {(table.name, column) for table in COPIED.values() for column in table.columns}
    left_out = {tuple(name.split(".")) for name in LEFT_OUT if "." in name}
    assert copied | tenants | left_out == {each for each in there_are if each[0] in COPIED}
    assert not copied & left_out


def test_what_nobody_may_read_is_secret(database: Database) -> None:
    for table, column, type in execute(database.admin_url, COLUMNS):
        if table in COPIED and (type == "bytea" or re.search("hash|secret", column)):
            assert column in COPIED[table].secret.split(", "), f"{table}.{column}"


async def test_who_has_the_passphrase_reads_the_secrets(full: Full, here: Installation) -> None:
    lines = (await here.copy(full.org.id)).splitlines(keepends=True)
    salt = base64.b64decode(json.loads(lines[0])["salt"])
    key = hash_secret_raw(PASSPHRASE.encode(), salt, 3, 64 * 1024, 4, 32, Type.ID)
    opened = [open_line(key, number, line) for number, line in enumerate(lines, 1)]
    assert any(found and full.totp.secret.encode() in found[1] for found in opened)
