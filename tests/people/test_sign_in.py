"""Signing in."""

from __future__ import annotations

from tests.people.conftest import People


async def test_who_has_the_password_signs_in(people: People) -> None:
    found = await people.signed_in()
    assert found["token_type"] == "Bearer"
    assert found["expires_in"] == 300
    assert found["scope"] == "orders:* stock:read"
