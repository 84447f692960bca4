"""The id by which a client, our answer and our log speak of the same request."""

from __future__ import annotations

import re
import uuid
from itertools import count

_SAFE = re.compile(r"(?!.*_(?:live|test)_)[A-Za-z0-9._-]{1,128}")
"""What may stand in a log and in a header. A key's text would, put here by mistake: it is told by its middle."""
_PROCESS, _NUMBERS = uuid.uuid4().hex[:20], count()
"""Random once a process: to ask the system for each would cost more than to look a key up."""


def request_id(given: str | None) -> str:
    """The client's, where it is safe to repeat; else a new one."""
    return given if given and _SAFE.fullmatch(given) else f"{_PROCESS}{next(_NUMBERS):012x}"
