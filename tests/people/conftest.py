"""An organisation whose Ana may sign in to its shop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from identity.user_apps import Grant
from tests.conftest import PASSWORD, Api, Organisation


@dataclass(frozen=True)
class People:
    """What Ana does, and what is done about her."""

    org: Organisation

    @property
    def api(self) -> Api:
        """Without a credential."""
        return Api(self.org.client, None)

    async def sign_in(self, password: str = PASSWORD, login: str = "ana", **more: Any) -> httpx2.Response:
        body = {"login": login, "password": password, "app_id": "shop", **more}
        return await self.api.post(f"{self.org.path}/sessions", body, headers={"X-Request-Id": "same"})

    async def signed_in(self, **more: Any) -> dict[str, Any]:
        answer = await self.sign_in(**more)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def set_password(self, password: str = PASSWORD, user_id: str = "ana") -> None:
        answer = await self.org.admin.put(f"{self.org.path}/users/{user_id}/password", {"password": password})
        assert answer.status_code == 200, answer.text


@pytest.fixture
async def people(org: Organisation) -> People:
    found = People(org)
    await org.stores.user_apps.grant(org.id, "shop", "ana", Grant(scopes=("orders:*", "stock:read")))
    return found
