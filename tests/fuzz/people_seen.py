"""What is seen of people: whether who should be in is in, and nobody else."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import httpx2

from tests.fuzz import people
from tests.fuzz.ground import PLATFORM, Ground
from tests.fuzz.model import Session, living

LOOK_EVERY = 4


class PeopleSeen(Ground):
    """Each call goes to the other worker than the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.began: list[Session] = []
        self.seen: dict[str, bool] = {}
        """Of each session whether it was good when it was looked at last."""
        self.looks = 0
        self.turns = cycle((False, True))

    def look_at_people(self) -> None:
        """At each session that should have ended, or be good again, since; and now and then at one that has not
        ended."""
        changed = [each for each in self.began if self.seen.get(each.id) != people.is_live(self.world, each)]
        open = [each for each in self.began if people.find_session(self.world, each) and each not in changed]
        self.looks += 1
        if open and self.looks % LOOK_EVERY == 0:
            changed.append(open[self.looks // LOOK_EVERY % len(open)])
        for session in changed:
            self.seen[session.id] = people.is_live(self.world, session)
            self.service.run(self.look_at_session(session))

    async def look_at_session(self, session: Session) -> None:
        """What it gave is as good as it is, wherever it is shown; of its user all are listed that have not ended."""
        for text in (session.refresh_tokens[-1], session.access_tokens[0]):
            await self.must_be_as_good(session, text)
        is_live = self.seen[session.id]
        tenant, mine = self.world.tenants[session.tenant_id], f"users/{session.user_id}/sessions"
        path = f"/v1/tenants/{tenant.id}/{mine}"
        if living(tenant.users, session.user_id) and not tenant.is_deleted:
            answer = await self.platform(session, "GET", f"{path}?limit=500")
            there = [each.id for each in people.sessions_of(tenant, session.user_id)]
            assert [each["id"] for each in answer.json()["items"]] == there
        if session.app_id == "identity":
            answer = await self.driver.ask(session.access_tokens[-1], tenant.id, "GET", path)
            assert answer.status_code == (200 if is_live else 401), answer.text

    async def must_be_as_good(self, session: Session, text: str) -> None:
        is_live = people.is_live(self.world, session)
        answer = await self.platform(session, "POST", "/oauth/introspect", data={"token": text})
        assert answer.json()["active"] == is_live, f"active: {is_live} expected of {session}"

    def look_back(self) -> None:
        """At the end: what is over stays over."""
        for session in self.began:
            self.service.run(self.must_be_as_good(session, session.refresh_tokens[-1]))

    async def platform(self, session: Session, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self.driver.send(PLATFORM, session.tenant_id, method, path, hasty=next(self.turns), **more)
