"""Is this key good? Each verdict is proved by a statement that was sent after the question arrived: the whole chain,
or, of what is remembered, that nothing of it has changed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from identity.db import json_loads
from identity.key_text import KeyText, parse
from identity.verify.batch import Batch
from identity.verify.lane import Lane
from identity.verify.lanes import Lanes
from identity.verify.memory import Memory, Proof, Remembered
from identity.verify.statements import array
from identity.verify.verdicts import MALFORMED, NOT_FOUND, Verdict, Verification, for_this

AT_ONCE = 200
"""Keys in one statement: a thousand would keep a lane from everybody else for 30 ms."""
FOR_EVER_S = float("inf")


@dataclass(slots=True)
class Question:
    """One key's text, on its way to a verdict."""

    text: str
    digest: bytes
    since_s: float
    remembered: Remembered | None
    key: KeyText | None = None
    batch: Batch | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of a look-up by key id, and in which epoch of the memory they were asked for."""

    epoch: int
    rows: dict[str, Any]


class Verifier:
    """Looks keys up as a role that may read the chain of all tenants and nothing else."""

    def __init__(self, memory: Memory, lanes: Lanes) -> None:
        self.memory = memory
        self.lanes = lanes

    async def verify(self, asked: Verification) -> Verdict:
        """The whole chain, then what is asked for; the first that fails gives the code."""
        verdict = await self.look_up(asked.key)
        return for_this(verdict, asked) if verdict.valid else verdict

    async def look_up(self, text: str) -> Verdict:
        """The key and its chain. Unavailable within a second where the database does not answer."""
        return (await self.look_up_all([text]))[0]

    async def look_up_all(self, texts: Sequence[str]) -> list[Verdict]:
        """Several at once, in their order: a caller's own key and the one it asks about, say."""
        questions = [self._ask(text) for text in texts]
        for question in questions:
            while question.batch is not None:
                await question.batch.done
                self._answer(question)
        return [question.verdict or NOT_FOUND for question in questions]

    async def probe(self) -> None:
        """Unavailable where no look-up could be answered now."""
        await self.lanes.join(self._prove, "", self.lanes.now_s).done

    def _ask(self, text: str) -> Question:
        """Joins what is sent next: a proof where the verdict is remembered, else the whole chain."""
        digest = sha256(text.encode(errors="surrogatepass")).digest()
        question = Question(text, digest, self.lanes.now_s, self.memory.get(digest))
        if question.remembered is not None:
            question.batch = self.lanes.join(self._prove, question.remembered.ref, question.since_s)
        else:
            self._ask_whole(question)
        return question

    def _ask_whole(self, question: Question) -> None:
        question.key = parse(question.text)
        if question.key is None:
            question.verdict = MALFORMED
        else:
            question.batch = self.lanes.join(self._look_up, question.key.id, question.since_s)

    def _answer(self, question: Question) -> None:
        batch, question.batch = question.batch, None
        assert batch is not None
        if question.key is not None:
            question.verdict = self._judge(question.key, batch, question.digest)
        elif question.remembered is not None and self.memory.stands(question.remembered, batch.answer):
            question.verdict = question.remembered.verdict
        else:
            self._ask_whole(question)

    def _judge(self, key: KeyText, batch: Batch, digest: bytes) -> Verdict:
        """The secret first, in constant time: who has it wrong learns nothing."""
        row = batch.answer.rows.get(key.id)
        if row is None or not hmac.compare_digest(bytes.fromhex(row[12].decode()), key.secret_hash):
            return NOT_FOUND
        if (row[11].decode(), row[7].decode()) != (key.prefix, key.environment):
            return NOT_FOUND
        verdict = _verdict(row)
        if verdict.valid:
            self._remember(digest, verdict, row, batch.answer.epoch)
        return verdict

    def _remember(self, digest: bytes, verdict: Verdict, row: Any, epoch: int) -> None:
        expires_at_s = verdict.expires_at.timestamp() if verdict.expires_at else FOR_EVER_S
        key, user = f"key {verdict.key_id}", f"user {verdict.user_id}"
        entry = Remembered(verdict, epoch, str(verdict.key_id)[:6], int(row[13]), key, user, expires_at_s)
        self.memory.remember(digest, entry, self.lanes.now_s)

    async def _look_up(self, lane: Lane, names: list[str]) -> Found:
        """The whole chain of all that wait."""
        epoch, rows = self.memory.epoch, {}
        for start in range(0, len(names), AT_ONCE):
            for row in await lane.ask(b"live", array(names[start : start + AT_ONCE])):
                rows[cast("bytes", row[4]).decode()] = row
        return Found(epoch, rows)

    async def _prove(self, lane: Lane, names: list[str]) -> Proof:
        """Reads the counters, and the database's clock. What has moved is asked after before anybody is answered."""
        asked_at_s, now_s = self.lanes.now_s, 0.0
        counters: dict[str, int] = {}
        for ref, n, clock_s in cast("list[tuple[bytes, bytes, bytes]]", await lane.ask(b"proof", array(names))):
            counters[ref.decode()], now_s = int(n), float(clock_s)
        if moved := self.memory.moved(counters, names, asked_at_s):
            for ref, n, changes in cast("list[tuple[bytes, bytes, bytes]]", await lane.ask(b"changes", array(moved))):
                self.memory.learn(ref.decode(), int(n), json.loads(changes), self.lanes.now_s)
        return Proof(counters, now_s)


def _verdict(row: Any) -> Verdict:
    code = row[14].decode()
    text = [None if value is None else value.decode() for value in row[:8]]
    tenant_id, app_id, branch_id, user_id, key_id, name, type, environment = text
    return Verdict.model_construct(
        valid=code == "valid",
        code=code,
        tenant_id=tenant_id,
        app_id=app_id,
        branch_id=branch_id,
        user_id=user_id,
        key_id=key_id,
        name=name,
        type=type,
        environment=environment,
        scopes=tuple(json.loads(row[8])),
        metadata=json_loads(row[9]),
        expires_at=None if row[10] is None else datetime.fromisoformat(row[10].decode()),
    )
