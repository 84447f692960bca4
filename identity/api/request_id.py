"""The id by which a client, our answer and our log speak of the same request."""

from __future__ import annotations

import re
import uuid

_SAFE = re.compile(r"(?!.*_(?:live|test)_)[A-Za-z0-9._-]{1,128}")
"""What may stand in a log and in a header. A key's text would, put here by mistake: it is told by its middle."""


def request_id(given: str | None) -> str:
    """The client's, where it is safe to repeat; else a new one."""
    return given if given and _SAFE.fullmatch(given) else uuid.uuid4().hex
