"""Moving in: keys of another system are verified by their hashes, in their tenant alone, and manage nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256, sha512
from secrets import token_hex
from typing import Any

import pytest

from identity import key_text
from identity.app_keys import NewAppKey
from identity.apps import AppChanges
from identity.tenants import PLATFORM
from tests.api.conftest import Rows
from tests.api.problems import places, told
from tests.conftest import Api, Organisation, unique

WRITTEN: dict[str, Callable[[bytes], str]] = {
    "sha256-hex": lambda raw: sha256(raw).hexdigest(),
    "sha256-base64": lambda raw: base64.b64encode(sha256(raw).digest()).decode(),
    "sha256-base64url": lambda raw: base64.urlsafe_b64encode(sha256(raw).digest()).decode(),
    "sha512-hex": lambda raw: sha512(raw).hexdigest(),
}


def new_text() -> str:
    return f"sk_live_{token_hex(16)}"


def row(text: str, algorithm: str = "sha256-hex", **more: Any) -> dict[str, Any]:
    return {"name": "till", "hash": WRITTEN[algorithm](text.encode()), "algorithm": algorithm, **more}


async def moved_in(org: Organisation, *rows: dict[str, Any], caller: Api | None = None, **more: Any) -> list[Any]:
    path = f"{org.path}/apps/shop/keys/import"
    answer = await (caller or org.admin).post(path, {"keys": list(rows), **more})
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json()["items"]
    assert [item["ordinal"] for item in items] == list(range(len(rows)))
    return items


async def verdict(caller: Api, text: str, **asked: Any) -> dict[str, Any]:
    answer = await caller.post("/v1/keys/verify", {"key": text, **asked})
    assert answer.status_code == 200
    [same] = (await caller.post("/v1/keys/verify-batch", {"keys": [{"key": text, **asked}]})).json()["items"]
    found: dict[str, Any] = answer.json()
    assert found == same
    return found


async def code(caller: Api, text: str, **asked: Any) -> str:
    return str((await verdict(caller, text, **asked))["code"])


NOTHING = ("tenant_id", "key_id", "app_id", "name", "scopes", "metadata")


# Verified


@pytest.mark.parametrize("algorithm", WRITTEN)
@pytest.mark.parametrize("text", ["sk_live_4eC39HqLyjWDarjtT1", "x", "clé 🔑", "a.b.c", " spaced "])
async def test_a_key_goes_on_as_it_was(algorithm: str, text: str, org: Organisation) -> None:
    given = row(text, algorithm, scopes=["orders:*"], metadata={"till": 7}, branch_id="mad", user_id="ana")
    [item] = await moved_in(org, given)
    assert item["status"] == "created"
    for _ in ("looked up", "remembered"):
        found = await verdict(org.admin, text, scopes=["orders:read"], app_id="shop", branch_id="mad")
        assert (found["valid"], found["code"], found["key_id"]) == (True, "valid", item["key_id"])
        assert (found["tenant_id"], found["user_id"], found["metadata"]) == (org.id, "ana", {"till": 7})
    assert await code(org.admin, text, scopes=["stock:read"]) == "insufficient_scope"
    assert await code(org.admin, text, environment="test") == "wrong_environment"


async def test_base64_needs_no_padding_and_hex_no_case(org: Organisation) -> None:
    texts = [new_text() for _ in range(3)]
    rows = [row(texts[0]), row(texts[1], "sha256-base64"), row(texts[2], "sha256-base64url")]
    rows[0]["hash"] = rows[0]["hash"].upper()
    rows[1]["hash"], rows[2]["hash"] = rows[1]["hash"].rstrip("="), rows[2]["hash"].rstrip("=")
    assert [item["status"] for item in await moved_in(org, *rows)] == ["created"] * 3
    assert [await code(org.admin, text) for text in texts] == ["valid"] * 3


async def test_when_the_revocation_returns_it_is_dead_though_it_was_remembered(org: Organisation) -> None:
    text = new_text()
    [item] = await moved_in(org, row(text))
    one = f"{org.path}/apps/shop/keys/{item['key_id']}"
    for verb, then in (("disable", "disabled"), ("enable", "valid"), ("revoke", "revoked")):
        await org.admin.post(f"{one}/{verb}")
        assert await code(org.admin, text) == then
    await org.admin.delete(one)
    assert await code(org.admin, text) == "malformed"


async def test_its_whole_chain_is_judged(org: Organisation) -> None:
    text = new_text()
    await moved_in(org, row(text, branch_id="mad", user_id="ana"))
    assert await code(org.admin, text) == "valid"
    for kill, wake, dead in (
        (org.stores.branches.disable, org.stores.branches.enable, "branch_disabled"),
        (org.stores.apps.disable, org.stores.apps.enable, "app_disabled"),
        (org.stores.users.lock, org.stores.users.unlock, "user_locked"),
    ):
        path = {"branch_disabled": ("shop", "mad"), "app_disabled": ("shop",), "user_locked": ("ana",)}[dead]
        await kill(org.id, *path)
        assert await code(org.admin, text) == dead
        await wake(org.id, *path)
        assert await code(org.admin, text) == "valid"


async def test_what_nobody_imported_is_malformed(org: Organisation) -> None:
    for text in (new_text(), "", "x" * 5000):
        found = await verdict(org.admin, text)
        assert (found["valid"], found["code"]) == (False, "malformed")
        assert all(found[name] is None for name in NOTHING)


async def test_a_text_too_long_to_be_hashed_is_malformed(org: Organisation) -> None:
    long, longer = "x" * 1024, "y" * 1025
    await moved_in(org, row(long), row(longer))
    assert [await code(org.admin, text) for text in (long, longer)] == ["valid", "malformed"]


# Whose it is


async def test_another_tenant_does_not_know_it(org: Organisation, other_org: Organisation) -> None:
    text = new_text()
    await moved_in(org, row(text))
    assert await code(org.admin, text) == "valid"
    assert await code(other_org.admin, text) == "malformed"
    assert await code(other_org.admin, text, tenant_id=org.id) == "not_found"
    assert await code(other_org.admin, text, tenant_id=other_org.id) == "malformed"


async def test_two_tenants_may_import_the_same_text_and_each_has_its_own(
    org: Organisation, other_org: Organisation, platform: Api
) -> None:
    text = new_text()
    [mine], [theirs] = await moved_in(org, row(text)), await moved_in(other_org, row(text))
    for _ in ("looked up", "remembered"):
        for of, item in ((org, mine), (other_org, theirs)):
            assert (await verdict(of.admin, text))["key_id"] == item["key_id"]
            assert (await verdict(platform, text, tenant_id=of.id))["key_id"] == item["key_id"]
    await org.admin.post(f"{org.path}/apps/shop/keys/{mine['key_id']}/revoke")
    assert (await code(org.admin, text), await code(other_org.admin, text)) == ("revoked", "valid")
    asked = [{"key": text, "tenant_id": org.id}, {"key": text, "tenant_id": other_org.id}, {"key": text}]
    items = (await platform.post("/v1/keys/verify-batch", {"keys": asked})).json()["items"]
    assert [item["code"] for item in items] == ["revoked", "valid", "malformed"]


async def test_the_platform_names_the_tenant(org: Organisation, platform: Api) -> None:
    text = new_text()
    await moved_in(org, row(text))
    assert await code(platform, text) == "malformed"
    assert await code(platform, text, tenant_id=org.id) == "valid"
    for nowhere in ("nowhere", "", "No Tenant", '"},{"', "a" * 5000, PLATFORM):
        assert await code(platform, text, tenant_id=nowhere) == "malformed"


async def test_a_key_of_ours_must_be_of_the_tenant_that_is_asked_for(
    org: Organisation, other_org: Organisation, platform: Api
) -> None:
    for caller in (org.admin, platform):
        assert await code(caller, org.key.key, tenant_id=org.id) == "valid"
        assert await code(caller, org.key.key, tenant_id=other_org.id) == "not_found"
    assert await code(other_org.admin, org.key.key, tenant_id=org.id) == "not_found"


async def test_who_may_verify_another_app_alone_does_not_know_it(org: Organisation) -> None:
    text = new_text()
    await moved_in(org, row(text))
    assert await code(await org.holding("keys:verify/desk"), text) == "malformed"
    assert await code(await org.holding("keys:verify/shop"), text) == "valid"


# What it is not


@pytest.mark.parametrize("remembered", [True, False])
async def test_it_is_no_credential_of_ours(remembered: bool, org: Organisation) -> None:
    text = new_text()
    await moved_in(org, row(text, scopes=["*"]))
    if remembered:
        assert await code(org.admin, text) == "valid"
    holder = Api(org.client, text)
    for answer in (await holder.get("/v1/keys/whoami"), await holder.get(org.path)):
        assert told(answer) == (401, "invalid_token")
    assert told(await holder.post("/v1/keys/verify", {"key": text})) == (401, "invalid_token")


async def test_nothing_is_imported_into_the_app_identity(org: Organisation, rows: Rows, platform: Api) -> None:
    before = rows(org.id)
    path = f"{org.path}/apps/identity/keys/import"
    for caller in (org.admin, platform):
        for more in ({}, {"dry_run": True}):
            answer = await caller.post(path, {"keys": [row(new_text(), scopes=["*"])], **more})
            assert told(answer) == (409, "protected")
    assert rows(org.id) == before


async def test_a_text_of_our_own_form_is_never_looked_up_among_imported_keys(org: Organisation) -> None:
    text = key_text.compose("isk", "live", org.key.id[:6] + "0" * 16, key_text.new_secret())
    await moved_in(org, row(text))
    assert await code(org.admin, text) == "not_found"


async def test_by_its_id_an_imported_key_is_not_found(org: Organisation) -> None:
    """Its hash is that of a whole text, which could itself be a secret of our form."""
    secret = key_text.new_secret()
    [item] = await moved_in(org, row(secret))
    forged = key_text.compose("isk", "live", item["key_id"], secret)
    assert await code(org.admin, forged) == "not_found"
    await org.admin.post("/v1/keys/report-leak", {"key": forged, "source": "nobody"})
    assert await code(org.admin, secret) == "valid"


# One by one


async def test_one_wrong_row_does_not_spoil_the_others(org: Organisation) -> None:
    await org.stores.apps.update(
        org.id, "shop", AppChanges.model_validate({"settings": {"allowed_scopes": ["orders:*"]}})
    )
    texts = [new_text() for _ in range(12)]
    await moved_in(org, row(texts[10]))
    wrong: dict[int, tuple[dict[str, Any], str]] = {
        1: (row(texts[1], scopes=["stock:read"]), "scope_not_allowed"),
        2: (row(texts[2], user_id="nobody"), "user_not_found"),
        3: (row(texts[3], branch_id="nowhere"), "branch_not_found"),
        4: (row(texts[4]) | {"hash": "zz"}, "invalid_request"),
        5: ({"name": "no hash"}, "invalid_request"),
        6: (row(texts[6], type="restricted"), "restricted_key_too_broad"),
        7: (row(texts[7], nonsense=1), "invalid_request"),
        8: (row(texts[8], metadata={"x": "x" * 5000}), "metadata_too_large"),
        10: (row(texts[10]), "imported_key_taken"),
        11: (row(texts[0], "sha256-base64"), "imported_key_taken"),
    }
    rows = [wrong[n][0] if n in wrong else row(text) for n, text in enumerate(texts)]
    items = await moved_in(org, *rows)
    assert {n: items[n]["code"] for n in range(12) if items[n]["code"]} == {n: each[1] for n, each in wrong.items()}
    assert [items[n]["status"] for n in (0, 9)] == ["created"] * 2
    assert [items[n]["status"] for n in (10, 11)] == ["taken"] * 2
    assert items[11]["key_id"] == items[0]["key_id"]
    assert all(items[n]["detail"] for n in wrong)
    good = [await code(org.admin, texts[n]) for n in (0, 9, 10)]
    assert good == ["valid"] * 3
    assert [await code(org.admin, texts[n]) for n in (1, 2, 3, 4, 6, 7, 8)] == ["malformed"] * 7


async def test_a_thousand_at_once_and_all_of_them_again(org: Organisation) -> None:
    texts = [new_text() for _ in range(1000)]
    rows = [row(text, scopes=["orders:read"], metadata={"n": n}) for n, text in enumerate(texts)]
    first = await moved_in(org, *rows)
    again = await moved_in(org, *rows)
    assert {item["status"] for item in first} == {"created"}
    assert {item["status"] for item in again} == {"taken"}
    assert [item["key_id"] for item in first] == [item["key_id"] for item in again]
    asked = {"keys": [{"key": text} for text in texts]}
    for _ in range(20):  # a machine with much to do may not look so many up in the time that there is for it
        answer = await org.admin.post("/v1/keys/verify-batch", asked)
        if answer.status_code != 503:
            break
    assert [each["metadata"] for each in answer.json()["items"]] == [{"n": n} for n in range(1000)]
    too_many = await org.admin.post(f"{org.path}/apps/shop/keys/import", {"keys": [*rows, row(new_text())]})
    assert (told(too_many), places(too_many)) == ((400, "invalid_request"), ["/keys"])


async def test_a_dry_run_tells_the_same_and_keeps_nothing(org: Organisation, rows: Rows) -> None:
    text, twice = new_text(), new_text()
    [there] = await moved_in(org, row(text))
    before = rows(org.id)
    given = [row(new_text()), row(text), row(twice), row(twice), row(new_text(), user_id="nobody")]
    tried = await moved_in(org, *given, dry_run=True)
    assert rows(org.id) == before
    done = await moved_in(org, *given)
    assert [(item["status"], item["code"]) for item in tried] == [(item["status"], item["code"]) for item in done]
    assert [item["key_id"] for item in tried] == [None, there["key_id"], None, None, None]


async def test_a_revoked_key_is_not_brought_back_by_importing_it_again(org: Organisation) -> None:
    text = new_text()
    [item] = await moved_in(org, row(text))
    await org.admin.post(f"{org.path}/apps/shop/keys/{item['key_id']}/revoke")
    assert (await moved_in(org, row(text)))[0]["status"] == "taken"
    assert await code(org.admin, text) == "revoked"


# Shown, and made ours


async def test_it_is_shown_as_imported_and_its_hash_never(org: Organisation) -> None:
    given = row(new_text(), "sha512-hex", prefix_shown="sk_live_4e")
    [item] = await moved_in(org, given)
    one = f"{org.path}/apps/shop/keys/{item['key_id']}"
    answer = await org.admin.get(one)
    assert (answer.json()["algorithm"], answer.json()["prefix_shown"]) == ("sha512", "sk_live_4e")
    assert item["key_id"].startswith(org.key.id[:6])
    ours = (await org.admin.get(f"{org.path}/apps/shop/keys/{org.key.id}")).json()
    assert (ours["algorithm"], ours["prefix_shown"]) == (None, None)
    for shown in (answer, await org.admin.get(f"{org.path}/keys")):
        assert given["hash"] not in shown.text


async def test_rotating_it_makes_a_key_of_ours(org: Organisation) -> None:
    await org.stores.apps.update(org.id, "shop", AppChanges.model_validate({"settings": {"key_prefix": "till9"}}))
    text = new_text()
    [item] = await moved_in(org, row(text, scopes=["orders:read"], user_id="ana", prefix_shown="sk_live"))
    one = f"{org.path}/apps/shop/keys/{item['key_id']}"
    new = (await org.admin.post(f"{one}/rotate", {"grace_s": 60})).json()
    assert new["key"].startswith("till9_live_")
    assert (new["algorithm"], new["prefix_shown"], new["rotated_from"]) == (None, None, item["key_id"])
    assert (new["scopes"], new["user_id"]) == (["orders:read"], "ana")
    assert [await code(org.admin, each) for each in (new["key"], text)] == ["valid", "valid"]
    await org.admin.post(f"{one}/revoke")
    assert [await code(org.admin, each) for each in (new["key"], text)] == ["valid", "revoked"]


async def test_who_may_import_and_rotate_is_who_may_write_keys(org: Organisation, other_org: Organisation) -> None:
    path, given = f"{org.path}/apps/shop/keys/import", row(new_text())
    body = {"keys": [given]}
    for scope in ("keys:read", "keys:verify", "users:write"):
        assert told(await (await org.holding(scope)).post(path, body)) == (403, "insufficient_scope")
    assert told(await other_org.admin.post(path, body)) == (404, "tenant_not_found")
    assert told(await org.admin.post(f"{org.path}/apps/nowhere/keys/import", body)) == (404, "app_not_found")
    [item] = await moved_in(org, given, caller=await org.holding("keys:write"))
    assert item["status"] == "created"
    one = f"{org.path}/apps/shop/keys/{item['key_id']}/rotate"
    assert (await (await org.holding("keys:write")).post(one)).status_code == 201


async def test_a_key_issued_here_is_not_told_from_its_hash(org: Organisation) -> None:
    """To import the hash of a secret of ours gives nobody that key."""
    issued = await org.stores.app_keys.issue(org.id, "shop", NewAppKey(name=unique()))
    secret = issued.key.split("_")[3][: key_text.SECRET_CHARS]
    [item] = await moved_in(org, row(secret))
    assert (await verdict(org.admin, issued.key))["key_id"] == issued.id
    assert (await verdict(org.admin, secret))["key_id"] == item["key_id"]
