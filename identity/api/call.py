"""A call: one request on its way through, and the answer that a handler gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from identity.api.cursors import Cursors
from identity.api.etags import parse_if_match
from identity.api.rate_limit import RateLimit
from identity.api.routes import Route
from identity.auth import Method, Principal
from identity.db import IfMatch, Row, Scope, precondition_failed
from identity.errors import PreconditionFailed
from identity.hashing import Hasher
from identity.settings import Settings
from identity.stores import Stores
from identity.tokens import Tokens
from identity.verify import Seen, Usage, Verifier

PAGING = ("cursor", "limit", "count")
"""What may differ from page to page."""

B = TypeVar("B", bound=BaseModel | None)


@dataclass(frozen=True)
class Service:
    """What every call needs, made once a worker."""

    settings: Settings
    stores: Stores
    verifier: Verifier
    usage: Usage
    methods: tuple[Method, ...]
    cursors: Cursors
    secret_keys: tuple[bytes, ...]
    """The present one, and the one before it while it changes."""
    leak_limit: RateLimit
    seen: Seen
    tokens: Tokens
    hasher: Hasher

    def stores_for(self, request: Request, actor: str) -> Stores:
        """For whoever calls without a credential."""
        return self.stores.acting_as(Scope(actor, request.state.request_id, request.state.address))


@dataclass(frozen=True)
class Answer:
    """A status and what is shown; a row alone is answered with the route's status."""

    status: int
    content: Any = None
    location: str | None = None


@dataclass
class Call(Generic[B]):
    """One judged request, as a handler sees it."""

    service: Service
    request: Request
    route: Route
    principal: Principal
    stores: Stores
    body: B
    where: Any = None
    after: str | None = None
    limit: int = 50

    @property
    def path(self) -> dict[str, str]:
        return self.request.path_params

    @property
    def if_match(self) -> IfMatch:
        return parse_if_match(self.request.headers.get("if-match"))

    @property
    def page(self) -> dict[str, Any]:
        return {"after": self.after, "limit": self.limit}

    @property
    def only_creates(self) -> bool:
        return self.request.headers.get("if-none-match", "").strip() == "*"

    async def put(self, create: Any, replace: Any, exists: Any) -> Answer:
        """201 or 200; with `If-None-Match: *` only the first, with If-Match only the second."""
        location = self.request.url.path
        if self.only_creates:
            if await exists():
                raise there_is_one()
            return Answer(201, await create(), location)
        if "if-match" in self.request.headers and not await exists():
            raise precondition_failed()
        row, created = await replace(self.if_match)
        return Answer(201, row, location) if created else Answer(200, row)

    def deleted(self, row: Row) -> Answer:
        """204, or to `Prefer: return=representation` (RFC 7240) what was deleted."""
        wanted = "return=representation" in self.request.headers.get("prefer", "").replace(" ", "")
        return Answer(200, row) if wanted else Answer(204)

    @property
    def bound_to(self) -> list[Any]:
        """What a cursor of this list is good for: this caller's tenant, this path, this filter."""
        where = {name: value for name, value in self.request.query_params.items() if name not in PAGING}
        return [self.principal.tenant_id, self.request.url.path, where]


def there_is_one() -> PreconditionFailed:
    return PreconditionFailed("precondition_failed", "There is one already, and If-None-Match: * asks to create.")
