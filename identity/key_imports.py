"""Keys of another system, moved in by their hashes: their texts stay as they are, and are never known here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue, StringConstraints, WithJsonSchema, model_validator

from identity import key_text
from identity.app_keys import GIVEN, KEYS_GIVEN, LIMITS_GIVEN, PREFIXES, AppKey, NewAppKey
from identity.db import Rollback, Store, jsonb
from identity.errors import IdentityError, NotFound, Unavailable
from identity.fields import Given, Printable

Params = dict[str, Any]

MAX_ROWS = 1_000
MAX_SOUGHT = 20
"""Wrong rows that are sought one by one; each costs statements."""
DIGEST_BYTES = {"sha256": 32, "sha512": 64}


class NewImportedKey(NewAppKey):
    hash: str = Field(max_length=256)
    """Of the whole text of the key, in UTF-8."""
    algorithm: Literal["sha256-hex", "sha256-base64", "sha256-base64url", "sha512-hex"]
    prefix_shown: Annotated[Printable, StringConstraints(min_length=1, max_length=16)] | None = None
    """How the key begins, for people to know it by."""

    @model_validator(mode="after")
    def _is_a_digest(self) -> NewImportedKey:
        if len(self.digest) != DIGEST_BYTES[self.stored_algorithm]:
            raise ValueError(f"hash must be a digest as {self.algorithm} writes it")
        return self

    @property
    def stored_algorithm(self) -> str:
        return self.algorithm.partition("-")[0]

    @property
    def digest(self) -> bytes:
        """None of a length that could be right where it is not written as it should be."""
        try:
            if self.algorithm.endswith("hex"):
                return binascii.unhexlify(self.hash)
            alphabet = b"-_" if self.algorithm.endswith("url") else b"+/"
            padded = self.hash.rstrip("=") + "=" * (-len(self.hash.rstrip("=")) % 4)
            return base64.b64decode(padded, altchars=alphabet, validate=True)
        except ValueError:
            return b""

    def row(self) -> Params:
        digest = {"secret_hash": self.digest.hex(), "algorithm": self.stored_algorithm}
        return super().row() | {"id": key_text.new_random_id(), "prefix": PREFIXES[self.type]} | digest


REF = "#/components/schemas/"


def _schema() -> Any:
    schema = NewImportedKey.model_json_schema(ref_template=REF + "{model}")
    return _inlined(schema, schema.pop("$defs"))


def _inlined(schema: Any, definitions: Params) -> Any:
    """Without references, but to what the document has under the same name."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix(REF)
    if name in definitions and name != "JsonValue":
        return _inlined(definitions[name], definitions) | {"additionalProperties": False}
    return {member: _inlined(value, definitions) for member, value in schema.items()}


class KeyImport(Given):
    keys: Annotated[
        tuple[Annotated[dict[str, JsonValue], WithJsonSchema(_schema())], ...], Field(min_length=1, max_length=MAX_ROWS)
    ]
    """Each is judged by itself: one that is wrong does not spoil the others."""
    dry_run: bool = False
    """Judge them all, and keep none."""


class ImportVerdict(BaseModel):
    """What became of one key of an import."""

    ordinal: int
    """Which of them, counted from 0."""
    status: Literal["created", "taken", "invalid"]
    key_id: str | None = None
    """Of the key that was created, or that had been imported before."""
    code: str | None = None
    """Why it was not created; `not_judged` where too many others were wrong: mend them, then import this one again."""
    detail: str | None = None


class ImportVerdicts(BaseModel):
    """One for each key that was given, in the same order."""

    items: tuple[ImportVerdict, ...]


MISSING = {
    "app_not_found": "No such app.",
    "branch_not_found": "No such branch.",
    "user_not_found": "No such user.",
}
NOT_JUDGED = "Not imported, since too many others are wrong: mend those first, then import it again."

# In the order of what they wait for: two imports of the same keys would else die of deadlock.
IMPORT = f"""
WITH asked AS {GIVEN}, given AS (
    SELECT asked.*,
           CASE WHEN app_deleted_at IS NOT NULL THEN 'app_not_found'
                WHEN branch_id IS NOT NULL AND (
                     SELECT id FROM identity.branches AS branch
                      WHERE branch.tenant_id = %(tenant_id)s AND branch.app_id = %(app_id)s
                        AND branch.id = asked.branch_id AND branch.deleted_at IS NULL) IS NULL THEN 'branch_not_found'
                WHEN user_id IS NOT NULL AND (
                     SELECT id FROM identity.users AS owner
                      WHERE owner.tenant_id = %(tenant_id)s AND owner.id = asked.user_id
                        AND owner.deleted_at IS NULL) IS NULL THEN 'user_not_found' END AS missing
      FROM asked
), issued AS (
    INSERT INTO identity.app_keys {KEYS_GIVEN}
     WHERE missing IS NULL
     ORDER BY algorithm, secret_hash, ordinal
        ON CONFLICT (tenant_id, algorithm, secret_hash) WHERE algorithm IS NOT NULL DO NOTHING
    RETURNING id, credits, rate_limits
), limits AS (
    INSERT INTO identity.key_limits {LIMITS_GIVEN}
)
SELECT ordinal, missing FROM given WHERE missing IS NOT NULL
"""

IMPORTED = """
SELECT id, algorithm, encode(secret_hash, 'hex') AS secret_hash
  FROM identity.app_keys
 WHERE tenant_id = %(tenant_id)s AND algorithm = ANY (%(algorithms)s::text[])
   AND secret_hash = ANY (%(hashes)s::bytea[])
"""


class KeyImports(Store[AppKey]):
    row = AppKey
    noun = "key"

    async def create_many(
        self, tenant_id: str, app_id: str, news: Sequence[NewImportedKey], *, dry_run: bool = False
    ) -> list[ImportVerdict]:
        """What became of each, in the order given: one that is wrong does not spoil the others. Of a dry run, what
        would."""
        rows = [{**new.row(), "ordinal": ordinal} for ordinal, new in enumerate(news)]
        rows.sort(key=lambda row: (row["algorithm"], row["secret_hash"], row["ordinal"]))
        async with self.session.transaction() as session:
            tx = KeyImports(session)
            refused = await tx._import(tenant_id, app_id, rows)
            found = refused + await tx._found(tenant_id, _but(rows, refused), dry_run=dry_run)
            if dry_run:
                raise Rollback
        return sorted(found, key=lambda verdict: verdict.ordinal)

    async def _import(self, tenant_id: str, app_id: str, rows: list[Params]) -> list[ImportVerdict]:
        """All that can be, in one statement; where that fails its halves, down to the row that is wrong: so many times
        and no more, since that is a thousand statements where each row is."""
        refused: list[ImportVerdict] = []
        waiting, sought = [rows] if rows else [], 0
        while waiting:
            some = waiting.pop()
            try:
                refused += await self._import_some(tenant_id, app_id, some)
            except Unavailable:
                raise
            except IdentityError as error:
                if len(some) == 1:
                    refused.append(_refusal(some[0]["ordinal"], error.code, error.detail))
                    sought += 1
                elif sought < MAX_SOUGHT:
                    middle = len(some) // 2
                    waiting += [some[middle:], some[:middle]]
                else:
                    refused += [_refusal(row["ordinal"], "not_judged", NOT_JUDGED) for row in some]
        return refused

    async def _import_some(self, tenant_id: str, app_id: str, rows: list[Params]) -> list[ImportVerdict]:
        """Those whose app, branch or user there is not."""
        async with self.session.savepoint() as session:
            found = await KeyImports(session)._run(IMPORT, tenant_id, app_id=app_id, rows=jsonb(rows))
        return [_refusal(row["ordinal"], row["missing"], MISSING[row["missing"]]) for row in found]

    async def _found(self, tenant_id: str, rows: list[Params], *, dry_run: bool) -> list[ImportVerdict]:
        """Of rows with which nothing is wrong: those that are there now by them, and those that were before."""
        algorithms, hashes = [row["algorithm"] for row in rows], [bytes.fromhex(row["secret_hash"]) for row in rows]
        there = await self._run(IMPORTED, tenant_id, algorithms=algorithms, hashes=hashes) if rows else []
        ids = {(each["algorithm"], each["secret_hash"]): each["id"] for each in there}
        if not all(_hash(row) in ids for row in rows):
            raise NotFound("app_not_found", "No such app.")
        passing = {row["id"] for row in rows} if dry_run else set()
        return [_verdict(row, ids[_hash(row)], passing) for row in rows]


def _refusal(ordinal: int, code: str, detail: str) -> ImportVerdict:
    return ImportVerdict(ordinal=ordinal, status="invalid", code=code, detail=detail)


def _but(rows: list[Params], refused: list[ImportVerdict]) -> list[Params]:
    wrong = {verdict.ordinal for verdict in refused}
    return [row for row in rows if row["ordinal"] not in wrong]


def _hash(row: Params) -> tuple[str, str]:
    return row["algorithm"], row["secret_hash"]


def _verdict(row: Params, id: str, passing: set[str]) -> ImportVerdict:
    """Without the ids of what does not stay."""
    random_id = id[key_text.REF_CHARS :]
    shown = None if random_id in passing else id
    if random_id == row["id"]:
        return ImportVerdict(ordinal=row["ordinal"], status="created", key_id=shown)
    detail = "A key of this hash was imported before."
    return ImportVerdict(ordinal=row["ordinal"], status="taken", key_id=shown, code="imported_key_taken", detail=detail)
