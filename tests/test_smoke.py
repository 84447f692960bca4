from tests.conftest import Api, Organisation


async def test_a_key_verifies_until_it_is_revoked(org: Organisation) -> None:
    asked = {"key": org.key.key, "scopes": ["orders:read"]}
    assert (await org.admin.post("/v1/keys/verify", asked)).json()["code"] == "valid"
    assert (await org.admin.post(f"{org.path}/apps/shop/keys/{org.key.id}/revoke")).status_code == 200
    assert (await org.admin.post("/v1/keys/verify", asked)).json()["code"] == "revoked"


async def test_another_tenant_sees_nothing(org: Organisation, other_org: Organisation, platform: Api) -> None:
    assert (await other_org.admin.get(f"{org.path}/apps")).status_code == 404
    assert (await platform.get(f"{org.path}/apps")).status_code == 200
