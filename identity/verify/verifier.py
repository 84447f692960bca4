"""Is this key good? Each verdict is proved by a statement that was sent after the question arrived: the whole chain,
or, of what is remembered, that nothing of it has changed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, cast

from identity.key_text import KeyText, parse
from identity.verify import imported
from identity.verify.batch import MAX_NAMES, Batch
from identity.verify.known import MALFORMED, NOT_FOUND, Known, known
from identity.verify.lane import ask
from identity.verify.lanes import Lanes
from identity.verify.limits import Ask, Limits, Taken
from identity.verify.memory import Memory, Proof
from identity.verify.question import Found, Question
from identity.verify.statements import array
from identity.verify.verdicts import Asked, Verdict, Verification, judge, verdict

MAX_CHAINS = 32
"""In one statement. Of fewer the server could read more in a second, but then the worker would wait while it reads, and
it while the worker answers."""


class Pair(NamedTuple):
    """A caller's own key and the one it asks about, of which one statement will tell."""

    batch: Batch
    remembered: list[Known] | None
    keys: Sequence[tuple[KeyText, bytes]] = ()
    """Where they are not, with their digests."""


class Verifier:
    """Looks keys up as a role that may read the chain of all tenants and nothing else."""

    def __init__(self, memory: Memory, lanes: Lanes, limits: Limits) -> None:
        self.memory = memory
        self.lanes = lanes
        self.limits = limits

    async def verify(self, asked: Verification) -> Verdict:
        """The whole chain, then what is asked for; the first that fails gives the code."""
        known = await self.look_up(asked.key)
        if asked.tenant_id is not None and known is MALFORMED:
            [known] = await self.look_up_imported([(asked.tenant_id, asked.key)])
        elif asked.tenant_id not in (None, known.tenant_id):
            known = NOT_FOUND
        return verdict(await self.tell(known, asked))

    async def tell(self, known: Known, asked: Asked) -> bytes:
        """The verdict in JSON; what a good key has limits for is taken now."""
        code = judge(known, asked)
        if code != "valid" or not known.is_limited:
            return known.told(code)
        return known.told_taken(await self.take(known, asked.cost, asked.costs))

    async def look(self, known: Known) -> bytes:
        """The verdict of its chain, without taking anything."""
        return known.told_taken(await self.take(known, 0, {})) if known.is_limited else known.answer

    async def take(self, known: Known, cost: int, costs: Mapping[str, int]) -> Taken:
        """From what limits a key that is good for all else. Unavailable where nobody knows whether it took."""
        return await self.limits.take(_ask_of(known, cost, costs), self.lanes.now_s)

    def take_then(
        self, known: Known, cost: int, costs: Mapping[str, int], tell: Callable[[Taken | None], object]
    ) -> None:
        """Likewise, for who is told without a task; None where nobody knows."""
        self.limits.take_then(_ask_of(known, cost, costs), self.lanes.now_s, tell)

    async def look_up(self, text: str) -> Known:
        """The key and its chain. Unavailable within a second where the database does not answer."""
        return (await self.look_up_all((text,)))[0]

    async def look_up_all(self, texts: Sequence[str]) -> list[Known]:
        """Several at once, in their order: a caller's own key and the one it asks about, say."""
        since_s = self.lanes.now_s
        remembered = self.remembered(map(digest, texts))
        if remembered is not None:
            proof = self.prove(remembered)
            if self.stand(remembered, await proof):
                return remembered
        return await self._answers([self._ask(text, since_s) for text in texts], since_s)

    def remembered(self, digests: Iterable[bytes]) -> list[Known] | None:
        """What one proof may hold for; None where one of them must be looked up, or they are of too many tenants."""
        found = []
        for each in digests:
            its = self.memory.get(each)
            if its is None:
                return None
            found.append(its)
        return found if len(found) <= MAX_NAMES or len({its.ref for its in found}) <= MAX_NAMES else None

    @property
    def is_open(self) -> bool:
        return self.lanes.is_open

    def prove(self, remembered: Sequence[Known]) -> Batch:
        """The statement that will tell whether they stand: the hottest path, which is also the shortest. Unavailable
        where it is closed."""
        batch = self.lanes.join(self._prove, [its.ref for its in remembered], self.lanes.now_s)
        self.lanes.go()
        return batch

    def stand(self, remembered: Sequence[Known], proof: Proof) -> bool:
        for its in remembered:  # noqa: SIM110 - half the time of all()
            if not self.memory.stands(its, proof):
                return False
        return True

    def ask_pair(self, texts: tuple[str, str], digests: tuple[bytes, bytes]) -> Pair | None:
        """None where they cannot be two keys of ours. Unavailable where it is closed."""
        remembered = self.remembered(digests)
        if remembered is not None:
            return Pair(self.prove(remembered), remembered)
        first, second = parse(texts[0]), parse(texts[1])
        if first is None or second is None:
            return None
        batch = self.lanes.join(self._look_up, (first.id, second.id), self.lanes.now_s, most=MAX_CHAINS)
        self.lanes.go()
        return Pair(batch, None, ((first, digests[0]), (second, digests[1])))

    def pair(self, asked: Pair) -> list[Known] | None:
        """What the statement told; None where what was remembered does not stand. Unavailable where it failed."""
        answer = asked.batch.result()
        if asked.remembered is None:
            return [self._judge(key, answer, digest) for key, digest in asked.keys]
        return asked.remembered if self.stand(asked.remembered, answer) else None

    async def look_up_imported(self, asked: Iterable[tuple[str, str]]) -> list[Known]:
        """Texts that are none of ours, each among the imported keys of one tenant; malformed where there is none such.
        Never for a credential: of another system's keys none is good for this service."""
        since_s = self.lanes.now_s
        return await self._answers([self._ask(text, since_s, tenant_id) for tenant_id, text in asked], since_s)

    async def _answers(self, questions: list[Question], since_s: float) -> list[Known]:
        for _ in ("what is remembered is proved", "what does not stand is looked up"):
            self.lanes.go()
            for question in questions:
                if question.batch is not None:
                    await question.batch
                    self._answer(question, since_s)
        return [cast("Known", question.known) for question in questions]

    async def probe(self) -> None:
        """Unavailable where no look-up could be answered now."""
        batch = self.lanes.join(self._prove, ("",), self.lanes.now_s)
        self.lanes.go()
        await batch

    def _ask(self, text: str, since_s: float, tenant_id: str | None = None) -> Question:
        """Joins what is sent next: a proof where the verdict is remembered, else the whole chain."""
        name = digest(text) if tenant_id is None else imported.remembered_as(tenant_id, text)
        known = self.memory.get(name)
        question = Question(text, name, known, tenant_id)
        if known is not None:
            question.batch = self.lanes.join(self._prove, (known.ref,), since_s)
        else:
            self._ask_whole(question, since_s)
        return question

    def _ask_whole(self, question: Question, since_s: float) -> None:
        if question.tenant_id is not None:
            question.name = imported.name(question.tenant_id, question.text)
        else:
            question.key = parse(question.text)
        if question.key is not None:
            question.batch = self.lanes.join(self._look_up, (question.key.id,), since_s, most=MAX_CHAINS)
        elif question.name is not None:
            question.batch = self.lanes.join(self._look_up_imported, (question.name,), since_s)
        else:
            question.known = MALFORMED

    def _answer(self, question: Question, since_s: float) -> None:
        batch, question.batch = question.batch, None
        assert batch is not None
        if question.key is not None:
            question.known = self._judge(question.key, batch.answer, question.digest)
        elif question.name is not None:
            row = batch.answer.rows.get(question.name)
            question.known = MALFORMED if row is None else self._known(row, batch.answer, question.digest)
        elif question.known is None or not self.memory.stands(question.known, batch.answer):
            self._ask_whole(question, since_s)

    def _judge(self, key: KeyText, found: Found, digest: bytes) -> Known:
        """The secret first, in constant time: who has it wrong learns nothing."""
        known = found.judged.get(digest)
        if known is None:
            known = found.judged[digest] = self._judge_row(key, found, digest)
        return known

    def _judge_row(self, key: KeyText, found: Found, digest: bytes) -> Known:
        row = found.rows.get(key.id)
        if row is None or not hmac.compare_digest(bytes.fromhex(row[12].decode()), key.secret_hash):
            return NOT_FOUND
        if (row[11].decode(), row[7].decode()) != (key.prefix, key.environment):
            return NOT_FOUND
        return self._known(row, found, digest)

    def _known(self, row: Any, found: Found, digest: bytes) -> Known:
        """Remembered where it is good."""
        its = known(row, found.epoch)
        if its.code == "valid":
            self.memory.remember(digest, its, row[13], self.lanes.now_s)
        return its

    async def _look_up(self, names: list[str]) -> Found:
        """The whole chain of all that wait."""
        epoch = self.memory.epoch
        rows = await ask(b"live", array(names))
        return Found(epoch, {cast("bytes", row[4]).decode(): row for row in rows})

    async def _look_up_imported(self, names: list[str]) -> Found:
        epoch = self.memory.epoch
        return Found(epoch, imported.by_name(names, await ask(b"imported", *imported.params(names))))

    async def _prove(self, names: list[str]) -> Proof:
        """Reads the counters, and the database's clock. What has moved is asked after before anybody is answered."""
        asked_at_s = self.lanes.now_s
        [(clock_s, counters)] = await ask(b"proof", array(names))
        proved, moved = self.memory.prove(names, counters.split(b",") if counters else (), asked_at_s)
        if moved:
            for counter, changes in cast("list[tuple[bytes, bytes]]", await ask(b"changes", array(moved))):
                proved |= self.memory.learn(counter, json.loads(changes), self.lanes.now_s)
        return Proof(proved, float(cast("bytes", clock_s)))


def _ask_of(known: Known, cost: int, costs: Mapping[str, int]) -> Ask:
    return Ask(known.tenant_id, known.key_id, cost, tuple(sorted(costs.items())))


def digest(text: str) -> bytes:
    """By which it is remembered."""
    return sha256(text.encode(errors="surrogatepass")).digest()
