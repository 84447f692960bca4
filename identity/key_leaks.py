"""Leaks: keys that somebody found where they should not be, and reports by showing the whole text."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from identity import key_text
from identity.db import Row, Store
from identity.fields import Given, Printable, Text, shown
from identity.key_text import KeyText

FORMAT = "app-key"


def _ours(text: str) -> str:
    if key_text.parse(text) is None:
        raise ValueError("must be the whole text of a key of ours")
    return text


Url = Annotated[Printable, StringConstraints(max_length=2000, pattern=r"^https?://[^\s]+$")]


class LeakReport(Given):
    key: Annotated[str, AfterValidator(_ours), shown(format=FORMAT)]
    """The whole text: to show it is all that a report needs."""
    source: Text
    """Who reports it, or what was searched."""
    url: Url | None = Field(default=None)
    """Where it was found. Kept, and never fetched."""


class KeyLeak(Row):
    tenant_id: str
    key_id: str
    number: int
    source: str
    url: str | None
    created_at: datetime
    updated_at: datetime


KNOWN = """
SELECT secret_hash
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND prefix = %(prefix)s AND environment = %(environment)s
   AND algorithm IS NULL
"""

# Ten of a key, each once. Of two at the same instant one is kept: they take the same number.
REPORT = """
WITH held AS (
    SELECT k.id, k.app_id = 'identity' OR coalesce(a.settings ->> 'on_leak', 'revoke') = 'revoke' AS is_final
      FROM identity.app_keys AS k JOIN identity.apps AS a ON a.tenant_id = k.tenant_id AND a.id = k.app_id
     WHERE k.tenant_id = %(tenant_id)s AND k.id = %(id)s
       FOR UPDATE OF k
), kept AS (
    INSERT INTO identity.key_leaks (tenant_id, key_id, number, source, url)
    SELECT %(tenant_id)s, held.id, 1 + count(leak.number), %(source)s, %(url)s
      FROM held LEFT JOIN identity.key_leaks AS leak ON leak.tenant_id = %(tenant_id)s AND leak.key_id = held.id
     GROUP BY held.id
    HAVING count(leak.number) < 10
       AND count(*) FILTER (WHERE leak.source = %(source)s AND leak.url IS NOT DISTINCT FROM %(url)s) = 0
        ON CONFLICT DO NOTHING
)
UPDATE identity.app_keys
   SET revoked_at = CASE WHEN is_final THEN clock_timestamp() END,
       revoke_reason = CASE WHEN is_final THEN 'leaked' END,
       disabled_at = CASE WHEN is_final THEN disabled_at ELSE clock_timestamp() END
  FROM held
 WHERE app_keys.tenant_id = %(tenant_id)s AND app_keys.id = held.id
   AND type <> 'public' AND revoked_at IS NULL AND (is_final OR disabled_at IS NULL)
RETURNING app_keys.tenant_id
"""


class KeyLeakStore(Store[KeyLeak]):
    row = KeyLeak
    noun = "key_leak"

    async def report(self, tenant_id: str, key: KeyText, source: str, url: str | None) -> None:
        """Kept, and the key revoked or disabled as its app wants it, by whoever holds the whole text; who has the
        secret wrong does nothing, and hears nothing. A public key stands in web pages: that is only noted."""
        named = {"id": key.id, "prefix": key.prefix, "environment": key.environment}
        known = await self._run(KNOWN, tenant_id, **named)
        secret_hash: bytes = known[0]["secret_hash"] if known else b""
        if hmac.compare_digest(secret_hash, key.secret_hash):
            await self._run(REPORT, tenant_id, id=key.id, source=source, url=url)
