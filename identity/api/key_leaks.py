"""/v1/keys/report-leak: whoever found a key ends it by showing it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request

from identity import key_text
from identity.api.call import Service
from identity.api.keys import MAX_VERIFY_BYTES
from identity.api.rate_limit import RateLimit
from identity.api.routes import PUBLIC, Table
from identity.key_leaks import LeakReport
from identity.stores import report_leak as report

table = Table("keys")

ACTOR = "leak report"


class Received(BaseModel):
    """All that anybody is told, whichever key it was."""

    status: Literal["received"] = "received"


def new_limit() -> RateLimit:
    """By address: 60 reports at once, and then one a second; of a search that found more there is time enough."""
    return RateLimit(at_once=60, every_s=1.0, remembered=10_000)


@table.post(
    "/v1/keys/report-leak",
    scope=PUBLIC,
    takes=LeakReport,
    answers=Received,
    status=202,
    max_body=MAX_VERIFY_BYTES,
    raises=("too_many_requests",),
)
async def report_leak(service: Service, request: Request, body: LeakReport) -> Received:
    """Report a leaked key.

    Whoever holds the whole text of a key may end it: it is revoked (reason `leaked`), or disabled where its app's
    `on_leak` says so; of a public key the report is only kept. The answer is the same for every key, known or not.
    """
    service.leak_limit.take(request.state.address)
    key = key_text.parse(body.key)
    assert key is not None, "the body was judged"
    stores = service.stores_for(request, ACTOR)
    url = body.url and key_text.without_secrets(body.url)
    await report(stores, key, key_text.without_secrets(body.source), url)
    return Received()
