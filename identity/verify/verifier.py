"""Is this key good? Each verdict is proved by a statement that was sent after the question arrived: the whole chain,
or, of what is remembered, that nothing of it has changed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

from identity.key_text import KeyText, parse
from identity.verify.batch import Batch
from identity.verify.known import MALFORMED, NOT_FOUND, Known, known
from identity.verify.lane import Lane
from identity.verify.lanes import Lanes
from identity.verify.memory import Counter, Memory, Proof
from identity.verify.statements import array
from identity.verify.verdicts import Verdict, Verification, judge, verdict


@dataclass(slots=True)
class Question:
    """One key's text, on its way to a verdict."""

    text: str
    digest: bytes
    known: Known | None
    key: KeyText | None = None
    batch: Batch | None = None


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
        known = await self.look_up(asked.key)
        return verdict(known.told(judge(known, asked)))

    async def look_up(self, text: str) -> Known:
        """The key and its chain. Unavailable within a second where the database does not answer."""
        return (await self.look_up_all((text,)))[0]

    async def look_up_all(self, texts: Iterable[str]) -> list[Known]:
        """Several at once, in their order: a caller's own key and the one it asks about, say."""
        since_s = self.lanes.now_s
        questions = [self._ask(text, since_s) for text in texts]
        for _ in ("what is remembered is proved", "what does not stand is looked up"):
            for question in questions:
                if question.batch is not None:
                    await question.batch.done
                    self._answer(question, since_s)
        return [cast("Known", question.known) for question in questions]

    async def probe(self) -> None:
        """Unavailable where no look-up could be answered now."""
        await self.lanes.join(self._prove, "", self.lanes.now_s).done

    def _ask(self, text: str, since_s: float) -> Question:
        """Joins what is sent next: a proof where the verdict is remembered, else the whole chain."""
        digest = sha256(text.encode(errors="surrogatepass")).digest()
        known = self.memory.get(digest)
        question = Question(text, digest, known)
        if known is not None:
            question.batch = self.lanes.join(self._prove, known.ref, since_s)
        else:
            self._ask_whole(question, since_s)
        return question

    def _ask_whole(self, question: Question, since_s: float) -> None:
        question.key = parse(question.text)
        if question.key is None:
            question.known = MALFORMED
        else:
            question.batch = self.lanes.join(self._look_up, question.key.id, since_s)

    def _answer(self, question: Question, since_s: float) -> None:
        batch, question.batch = question.batch, None
        assert batch is not None
        if question.key is not None:
            question.known = self._judge(question.key, batch.answer, question.digest)
        elif question.known is None or not self.memory.stands(question.known, batch.answer):
            self._ask_whole(question, since_s)

    def _judge(self, key: KeyText, found: Found, digest: bytes) -> Known:
        """The secret first, in constant time: who has it wrong learns nothing."""
        row = found.rows.get(key.id)
        if row is None or not hmac.compare_digest(bytes.fromhex(row[12].decode()), key.secret_hash):
            return NOT_FOUND
        if (row[11].decode(), row[7].decode()) != (key.prefix, key.environment):
            return NOT_FOUND
        its = known(row, found.epoch)
        if its.code == "valid":
            self.memory.remember(digest, its, row[15], self.lanes.now_s)
        return its

    async def _look_up(self, lane: Lane, names: list[str]) -> Found:
        """The whole chain of all that wait."""
        epoch = self.memory.epoch
        rows = await lane.ask(b"live", array(names))
        return Found(epoch, {cast("bytes", row[4]).decode(): row for row in rows})

    async def _prove(self, lane: Lane, names: list[str]) -> Proof:
        """Reads the counters, and the database's clock. What has moved is asked after before anybody is answered."""
        asked_at_s, now_s = self.lanes.now_s, 0.0
        counters: dict[str, Counter] = {}
        rows = cast("list[tuple[bytes, bytes, bytes, bytes]]", await lane.ask(b"proof", array(names)))
        for ref, n, version, clock_s in rows:
            counters[ref.decode()], now_s = (int(n), version), float(clock_s)
        if moved := self.memory.moved(counters, names, asked_at_s):
            rows = cast("list[tuple[bytes, bytes, bytes, bytes]]", await lane.ask(b"changes", array(moved)))
            for ref, n, version, changes in rows:
                self.memory.learn(ref.decode(), (int(n), version), json.loads(changes), self.lanes.now_s)
        return Proof(counters, now_s)
