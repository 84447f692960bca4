"""Sessions: who is signed in where, and the refresh tokens by which that goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from identity import filters
from identity.db import IfMatch, Page, Row, Store, columns, precondition_failed, sweep
from identity.errors import SlowDown
from identity.sealing import Sealing
from identity.token_text import hash_token, new_successor, new_token, parse_token

LOST_ANSWER_S = 10
"""For so long whoever did not hear of a token's successor may ask again."""


class Session(Row):
    tenant_id: str
    id: str
    app_id: str
    user_id: str
    scopes: tuple[str, ...]
    """What was asked for when it began."""
    address: str
    user_agent: str
    last_used_at: datetime
    """When it began, or was refreshed last."""
    expires_at: datetime
    """Unless it is refreshed before."""
    ends_at: datetime
    """However much it is used."""
    created_at: datetime
    updated_at: datetime


class LiveSession(Row):
    """A session that is good now, with all that it hangs on: tenant, app, user and access."""

    tenant_id: str
    session_id: str
    app_id: str
    user_id: str
    scopes: tuple[str, ...]
    """What was asked for and is granted now."""
    access_token_s: int
    expires_at: datetime


@dataclass(frozen=True)
class Lifetimes:
    """The defaults of those who set none."""

    idle_s: int
    absolute_s: int
    access_token_s: int
    refresh_token_s: int


@dataclass(frozen=True)
class Successor:
    """A live session, and the text of the refresh token that is good from now on."""

    session: LiveSession
    refresh_token: str


@dataclass(frozen=True)
class NewSession:
    """Who signs in, to what, and from where."""

    user_id: str
    app_id: str
    scopes: list[str] | None
    """None: all that are granted."""
    address: str
    user_agent: str
    if_changed_at: datetime | None
    """When the password was set that was checked: had it changed meanwhile, there would be no session."""
    factor_id: str | None = None
    """The second factor that was given: where they have another one, or must have one, there is no session either."""


class SessionsEnded(Row):
    """What ended at once."""

    sessions_ended: tuple[str, ...]
    refresh_tokens_ended: int


ATTRIBUTES: filters.Attributes = {
    "id": filters.Text("id"),
    "app_id": filters.Text("app_id"),
    "scopes": filters.Texts("scopes"),
    "address": filters.Text("address"),
    "user_agent": filters.Text("user_agent"),
    "last_used_at": filters.Instant("last_used_at"),
    "expires_at": filters.Instant("expires_at"),
    "ends_at": filters.Instant("ends_at"),
    "created_at": filters.Instant("created_at"),
    "updated_at": filters.Instant("updated_at"),
}


class SessionFilter(filters.Search):
    """All of a user, or some of them."""

    attributes = ATTRIBUTES


COLUMNS = columns(Session)

_TOLD = """s.tenant_id, s.id AS session_id, s.app_id, s.user_id,
           CASE WHEN s.scopes <@ access.scopes THEN s.scopes
                ELSE identity.granted_scopes(s.app_id, access.scopes, s.scopes) END AS scopes,
           coalesce((a.settings ->> 'access_token_s')::int, %(access_token_s)s) AS access_token_s"""

_IDLE = """clock_timestamp() + make_interval(secs => least(
               coalesce((t.settings ->> 'session_idle_s')::int, %(idle_s)s),
               coalesce((a.settings ->> 'refresh_token_s')::int, %(refresh_token_s)s)))"""

_CHAIN = """
  FROM identity.sessions AS s
  JOIN identity.tenants AS t ON t.id = s.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
  JOIN identity.apps AS a ON a.tenant_id = s.tenant_id AND a.id = s.app_id
       AND a.status = 'active' AND a.deleted_at IS NULL
  JOIN identity.users AS u ON u.tenant_id = s.tenant_id AND u.id = s.user_id
       AND u.status = 'active' AND u.deleted_at IS NULL
  JOIN identity.user_apps AS access ON access.tenant_id = s.tenant_id AND access.app_id = s.app_id
       AND access.user_id = s.user_id AND access.status = 'active'"""

_IS_LIVE = "s.tenant_id = %(tenant_id)s AND s.expires_at > clock_timestamp()"

# User, access and password are held, so that whoever ends what they give waits, and then sees this session; and judged
# here once more, since they were judged before the password was hashed.
SIGN_IN = f"""
WITH may AS (
    SELECT t.id AS tenant_id, a.id AS app_id, u.id AS user_id, access.scopes AS granted,
           least({_IDLE}, clock_timestamp() + absolute.s) AS expires_at, clock_timestamp() + absolute.s AS ends_at,
           coalesce((a.settings ->> 'access_token_s')::int, %(access_token_s)s) AS access_token_s
      FROM identity.tenants AS t
      JOIN identity.apps AS a ON a.tenant_id = t.id AND a.status = 'active' AND a.deleted_at IS NULL
      JOIN identity.users AS u ON u.tenant_id = t.id AND u.status = 'active' AND u.deleted_at IS NULL
      JOIN identity.user_apps AS access ON access.tenant_id = t.id AND access.app_id = a.id AND access.user_id = u.id
           AND access.status = 'active'
      JOIN identity.passwords AS p ON p.tenant_id = t.id AND p.user_id = u.id AND p.changed_at = %(if_changed_at)s
     CROSS JOIN LATERAL (SELECT make_interval(secs => coalesce((t.settings ->> 'session_absolute_s')::int,
                                                               %(absolute_s)s)) AS s) AS absolute
     WHERE t.id = %(tenant_id)s AND t.status = 'active' AND t.deleted_at IS NULL
       AND a.id = %(app_id)s AND u.id = %(user_id)s
       AND NOT EXISTS (SELECT FROM identity.sign_in_failures AS failed
                        WHERE failed.tenant_id = %(tenant_id)s AND failed.name = %(user_id)s
                          AND failed.paused_until > clock_timestamp())
       AND %(factor_id)s::text IS NOT DISTINCT FROM (
           SELECT id FROM identity.factors AS factor
            WHERE factor.tenant_id = %(tenant_id)s AND factor.user_id = %(user_id)s AND confirmed_at IS NOT NULL)
       AND (%(factor_id)s::text IS NOT NULL OR NOT coalesce((t.settings ->> 'require_mfa')::boolean, false))
       FOR SHARE OF u, access, p
), made AS (
    INSERT INTO identity.sessions (tenant_id, app_id, user_id, scopes, address, user_agent, expires_at, ends_at)
    SELECT tenant_id, app_id, user_id, identity.granted_scopes(app_id, granted, %(scopes)s::text[]),
           %(address)s, %(user_agent)s, expires_at, ends_at
      FROM may
    RETURNING tenant_id, id, app_id, user_id, scopes, expires_at
), token AS (
    INSERT INTO identity.refresh_tokens (tenant_id, hash, family_hash, session_id, expires_at)
    SELECT tenant_id, %(token_hash)s, %(family_hash)s, id, expires_at FROM made
), login AS (
    INSERT INTO identity.last_logins (tenant_id, user_id, last_login_at)
    SELECT tenant_id, user_id, clock_timestamp() FROM made
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_login_at = excluded.last_login_at
), forgiven AS (
    DELETE FROM identity.sign_in_failures AS failed USING made
     WHERE failed.tenant_id = %(tenant_id)s AND failed.name = made.user_id
)
SELECT made.tenant_id, id AS session_id, made.app_id, made.user_id, scopes, access_token_s, made.expires_at
  FROM made CROSS JOIN may
"""

# Judges, consumes and makes the successor: see schema/sessions.sql.
REFRESH = """
SELECT tenant_id, session_id, app_id, user_id, scopes, access_token_s, expires_at
  FROM identity.refresh_session(
       %(tenant_id)s, %(app_id)s, %(hash)s, %(family_hash)s, %(successor_hash)s, %(successor)s,
       %(every_s)s, %(idle_s)s, %(refresh_token_s)s, %(access_token_s)s)
"""

_PRESENTED_OF = """(
       SELECT session_id FROM identity.refresh_tokens WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s
        UNION ALL
       SELECT session_id FROM identity.refresh_tokens
        WHERE tenant_id = %(tenant_id)s AND family_hash = %(family_hash)s
        LIMIT 1)"""

# A token that was not consumed just now, of a session that is good: unused, it came too soon; used last, it may be a
# retry; used before that, it is not even kept.
PRESENTED = f"""
SELECT {_TOLD}, s.expires_at, token.successor,
       token.hash IS NOT NULL AND token.consumed_at IS NULL AS is_unused,
       coalesce(token.consumed_at > clock_timestamp() - make_interval(secs => %(lost_answer_s)s), false)
       AND EXISTS (SELECT FROM identity.refresh_tokens AS next
                    WHERE next.tenant_id = %(tenant_id)s AND next.hash = token.successor_hash
                      AND next.consumed_at IS NULL) AS is_retry
{_CHAIN}
  LEFT JOIN identity.refresh_tokens AS token
    ON token.tenant_id = s.tenant_id AND token.session_id = s.id AND token.hash = %(hash)s
 WHERE {_IS_LIVE}
   AND s.app_id = %(app_id)s AND s.id = {_PRESENTED_OF}
   AND (token.hash IS NULL OR token.expires_at > clock_timestamp())
"""

LIVE = f"""
SELECT {_TOLD}, s.expires_at
{_CHAIN}
 WHERE {_IS_LIVE} AND s.id = %(id)s
"""

LIVE_OF_TOKEN = f"""
SELECT {_TOLD}, s.expires_at
{_CHAIN}
 WHERE {_IS_LIVE}
   AND s.id = (SELECT session_id FROM identity.refresh_tokens
                WHERE tenant_id = %(tenant_id)s AND hash = %(hash)s AND consumed_at IS NULL
                  AND expires_at > clock_timestamp())
"""

GET = f"""
SELECT {COLUMNS}
  FROM identity.sessions
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND id = %(id)s AND expires_at > clock_timestamp()
"""

LIST = f"""
SELECT {COLUMNS}
  FROM identity.sessions
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND expires_at > clock_timestamp()
"""

END = f"""
DELETE FROM identity.sessions
 WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND id = %(id)s AND expires_at > clock_timestamp()
   AND (%(if_match)s::timestamptz[] IS NULL OR updated_at = ANY (%(if_match)s::timestamptz[]))
RETURNING {COLUMNS}
"""

_END = """
WITH held AS (
    SELECT id FROM identity.sessions WHERE tenant_id = %(tenant_id)s AND {which} ORDER BY id FOR UPDATE
), tokens AS (
    SELECT count(*) AS n FROM identity.refresh_tokens
     WHERE tenant_id = %(tenant_id)s AND session_id IN (SELECT id FROM held) AND consumed_at IS NULL
), ended AS (
    DELETE FROM identity.sessions WHERE tenant_id = %(tenant_id)s AND id IN (SELECT id FROM held) RETURNING id
)
SELECT coalesce(array_agg(id ORDER BY id), '{{}}') AS sessions_ended, (SELECT n FROM tokens) AS refresh_tokens_ended
  FROM ended
"""

END_OF_USER = _END.format(which="user_id = %(user_id)s")

END_OF_TOKEN = _END.format(
    which=f"""id = {_PRESENTED_OF}
       AND (%(app_id)s::text IS NULL OR app_id = %(app_id)s)"""
)

# A session's tokens go with it.
SWEEP = sweep("sessions", "tenant_id, id", "expires_at")

SWEEP_TOKENS = sweep("refresh_tokens", "tenant_id, hash", "expires_at")


class SessionStore(Store[Session]):
    """A session is made by signing in, goes on by refreshing, and has no row any more once it has ended."""

    row = Session
    noun = "session"

    async def create(self, tenant_id: str, ref: str, new: NewSession, lifetimes: Lifetimes) -> Successor | None:
        """None where it may not be, any more."""
        token = new_token("irt", ref)
        given: dict[str, Any] = asdict(new) | asdict(lifetimes)
        made = await self._run(SIGN_IN, tenant_id, token_hash=hash_token(token), family_hash=_family(token), **given)
        return Successor(LiveSession(**made[0]), token) if made else None

    async def refresh(
        self, tenant_id: str, app_id: str, token: str, lifetimes: Lifetimes, *, a_minute: int = 60
    ) -> Successor | None:
        """The token's successor: by the first who comes with it a new one, and for ten seconds, while that is unused,
        the same for whoever did not hear of it. Later it has been stolen from somebody, and the session ends. None
        where there is nothing to go on with: not this app's, ended, or the user may not any more. SlowDown where the
        session was refreshed so often within a minute: the token is good still."""
        text = parse_token(token)
        if text is None or text.kind != "irt":
            return None
        successor, every_s = new_successor(text), 60 / a_minute
        given = asdict(lifetimes) | {"app_id": app_id, "hash": text.hash, "family_hash": text.family_hash}
        sealed: dict[str, Any] = {
            "successor_hash": hash_token(successor),
            "successor": _seal(text.hash, token).close(successor.encode()),
        }
        for found in await self._run(REFRESH, tenant_id, every_s=every_s, **given, **sealed):
            return Successor(LiveSession(**found), successor)
        for found in await self._run(PRESENTED, tenant_id, lost_answer_s=LOST_ANSWER_S, **given):
            if found["is_unused"]:
                raise SlowDown(every_s)
            kept = _seal(text.hash, token).open(found["successor"]) if found["is_retry"] else None
            if kept is not None:
                return Successor(LiveSession(**found), kept.decode())
            await self.end_by_token(tenant_id, token)
        return None

    async def find_live(self, tenant_id: str, id: str, lifetimes: Lifetimes) -> LiveSession | None:
        """None where it has ended, or tenant, app, user or access are not as they must be."""
        found = await self._run(LIVE, tenant_id, id=id, **asdict(lifetimes))
        return LiveSession(**found[0]) if found else None

    async def find_by_token(self, tenant_id: str, token: str, lifetimes: Lifetimes) -> LiveSession | None:
        """Likewise, by a refresh token that is unused."""
        found = await self._run(LIVE_OF_TOKEN, tenant_id, hash=hash_token(token), **asdict(lifetimes))
        return LiveSession(**found[0]) if found else None

    async def get(self, tenant_id: str, user_id: str, id: str) -> Session:
        return await self._one(GET, tenant_id, user_id=user_id, id=id)

    async def list(
        self,
        tenant_id: str,
        user_id: str,
        where: SessionFilter = SessionFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[Session]:
        """Those that have not ended, in the order in which they began."""
        return await self._page(LIST, tenant_id, "id", where, after, limit, user_id=user_id)

    async def end(self, tenant_id: str, user_id: str, id: str, *, if_match: IfMatch = None) -> Session:
        ended = await self._first(END, tenant_id, user_id=user_id, id=id, if_match=if_match)
        if ended is None:
            await self.get(tenant_id, user_id, id)
            raise precondition_failed()
        return ended

    async def end_all(self, tenant_id: str, user_id: str) -> SessionsEnded:
        """For good. Of who leaves they end by themselves: by triggers."""
        [ended] = await self._run(END_OF_USER, tenant_id, user_id=user_id)
        return SessionsEnded(**ended)

    async def end_by_token(self, tenant_id: str, token: str, *, app_id: str | None = None) -> SessionsEnded:
        """The session of a refresh token, used or not; of that app."""
        given: dict[str, Any] = {"hash": hash_token(token), "family_hash": _family(token), "app_id": app_id}
        [ended] = await self._run(END_OF_TOKEN, tenant_id, **given)
        return SessionsEnded(**ended)

    async def sweep(self, *, limit: int) -> int:
        """Takes up to that many sessions of all tenants away that have expired; how many it took."""
        return await self._swept(SWEEP, limit)

    async def sweep_tokens(self, *, limit: int) -> int:
        """Likewise refresh tokens of sessions that go on."""
        return await self._swept(SWEEP_TOKENS, limit)


def _family(token: str) -> bytes | None:
    text = parse_token(token)
    return None if text is None else text.family_hash


def _seal(hash: bytes, token: str) -> Sealing:
    """Under the token alone: only who has it may know its successor."""
    return Sealing("refresh", hash, (b"",), token.encode())
