"""/healthz and /readyz: whether the process lives, and whether it can do its work."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel
from starlette.requests import Request

from identity.api.call import Answer, Service
from identity.api.routes import PUBLIC, Table
from identity.errors import IdentityError
from identity.migrate import missing

table = Table("service")


class Health(BaseModel):
    status: str = "ok"


class Readiness(BaseModel):
    """Each part that a request needs, and whether it answers."""

    status: str
    database: str
    migrations: str
    lanes: str


@table.get("/healthz", scope=PUBLIC, answers=Health)
async def healthz(service: Service, request: Request) -> Health:
    """Tell whether the process answers.

    Nothing else is asked.
    """
    return Health()


@table.get("/readyz", scope=PUBLIC, answers=Readiness, also=(503,))
async def readyz(service: Service, request: Request) -> Answer:
    """Tell whether it can do its work.

    200 where database, migrations and look-ups are as they should be, else 503.
    """
    (database, migrations), lanes = await asyncio.gather(_database(service), _lanes(service))
    ready = (database, migrations, lanes) == ("ok", "ok", "ok")
    content = Readiness(status="ok" if ready else "unavailable", database=database, migrations=migrations, lanes=lanes)
    return Answer(200 if ready else 503, content)


async def _database(service: Service) -> tuple[str, str]:
    try:
        behind = await asyncio.wait_for(missing(service.stores.session), service.settings.verify_timeout_s)
    except (IdentityError, TimeoutError):
        return "unavailable", "unknown"
    return "ok", "behind" if behind else "ok"


async def _lanes(service: Service) -> str:
    try:
        await service.verifier.probe()
    except IdentityError:
        return "unavailable"
    return "ok"
