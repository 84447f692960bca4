"""Whatever JSON comes, on whichever route: it is done or refused, and never a fault of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identity.api.routes import Route
from tests.api.problems import problem
from tests.api.samples import LISTS, WITH_BODY, bodies, each, path_of, send
from tests.conftest import Api, Organisation, make_organisation

ANY = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = ["*", "shop", "mad", "ana", "identity", "platform", "orders:*", "keys:write", "2099-01-01T00:00:00Z", "UTC"]
TEXT = st.text(st.characters(), max_size=30)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(), TEXT, st.sampled_from(WORDS))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
async def playground(target: Organisation) -> Organisation:
    """What happens to be right is done, to an organisation that nobody else looks at."""
    return await make_organisation(target.stores, target.client)


@each(WITH_BODY)
@ANY
@given(data=st.data())
async def test_any_body_is_done_or_refused(
    route: Route, playground: Organisation, platform: Api, data: st.DataObject
) -> None:
    sample = bodies(playground)[route.name]
    assert route.takes is not None
    fields = st.dictionaries(st.sampled_from(sorted(route.takes.model_fields)), JSON)
    body: Any = data.draw(fields | fields.map(lambda given: sample | given) | JSON)
    answer = await send(
        platform, route, playground, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    if answer.status_code >= 300:
        problem(answer)


@each(LISTS)
@ANY
@given(query=st.dictionaries(st.sampled_from(["limit", "cursor", "name", "status"]) | st.text(), st.text()))
async def test_any_query_is_answered_or_refused(
    route: Route, playground: Organisation, platform: Api, query: dict[str, str]
) -> None:
    answer = await send(platform, route, playground, path_of(route, playground), params=query)
    if answer.status_code != 200:
        problem(answer)
