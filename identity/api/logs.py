"""The log: JSON lines for machines, short coloured ones where a person watches; no exception's words in either."""

from __future__ import annotations

import json
import logging
import os
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

REQUESTS = "identity.requests"
MAX_MESSAGE_CHARS = 200
COLOURS = {2: 32, 3: 36, 4: 33, 5: 31}
"""By the hundreds of a status: green, cyan, yellow, red."""

log = logging.getLogger(REQUESTS)


def log_request(
    id: str,
    status: int,
    *,
    address: str,
    method: str | None = None,
    route: str | None = None,
    duration_s: float = 0.0,
    tenant: str | None = None,
    principal: str | None = None,
) -> None:
    """The route and not the path: somebody will put a key where its id belongs."""
    line = {
        "time": _now(),
        "request_id": id,
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(duration_s * 1000, 1),
        "tenant": tenant,
        "principal": principal,
        "address": address,
    }
    log.info(json.dumps(line))


def log_error(error: BaseException, *, detail: str | None = None, id: str | None = None) -> None:
    """A bug of ours, or why there is no start; detail is for our own words alone."""
    line = {"time": _now(), "request_id": id, **_error(error), "detail": detail}
    log.error(json.dumps({name: value for name, value in line.items() if value is not None}))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _error(error: BaseException) -> dict[str, str]:
    """What kind, and where it was raised, without what it says: a database's words may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    places = [f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})" for frame in reversed(frames)]
    return {"error": type(error).__name__, "where": " < ".join(places)}


def _as_dict(record: logging.LogRecord) -> dict[str, Any]:
    """Ours are JSON already. Of others', one line: below it asyncio shows the error, and uvicorn its traceback."""
    if record.name == REQUESTS:
        return json.loads(record.getMessage())  # type: ignore[no-any-return]
    message = record.getMessage().split("\n", 1)[0][:MAX_MESSAGE_CHARS]
    found = {"time": _now(), "level": record.levelname.lower(), "logger": record.name, "message": message}
    if record.exc_info and record.exc_info[1]:
        found |= _error(record.exc_info[1])
    return found


class JsonLines(logging.Formatter):
    """Every record one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage() if record.name == REQUESTS else json.dumps(_as_dict(record))


class ReadableLines(logging.Formatter):
    """For a terminal: the time, what was asked, what came of it, who asked."""

    def __init__(self, *, coloured: bool = True) -> None:
        super().__init__()
        self.coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        found = _as_dict(record)
        clock = datetime.fromisoformat(found.pop("time")).astimezone().strftime("%H:%M:%S")
        if "status" not in found:
            return f"{clock} {self._colour('error', 31)} {' '.join(str(value) for value in found.values())}"
        status = self._colour(str(found["status"]), COLOURS.get(found["status"] // 100, 0))
        asked = f"{found['method'] or '-':6} {found['route'] or '-'}"
        who = " ".join(each for each in (found["tenant"], found["principal"], found["address"]) if each)
        return f"{clock} {status} {asked}  {found['duration_ms']} ms  {who}  {self._colour(found['request_id'], 2)}"

    def _colour(self, text: str, code: int) -> str:
        return f"\033[{code}m{text}\033[0m" if self.coloured else text


def configure(stream: TextIO) -> None:
    """Once, in each worker."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableLines(coloured="NO_COLOR" not in os.environ) if stream.isatty() else JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
