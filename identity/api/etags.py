"""ETags: a row's updated_at, to the microsecond, which the database itself compares."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def etag(updated_at: datetime) -> str:
    return f'"{(updated_at - _EPOCH) // timedelta(microseconds=1):x}"'


def parse_if_match(header: str | None) -> list[datetime] | None:
    """What updated_at may be; None where the header sets no condition (absent, or `*`: a write needs the row anyway).
    Weak tags and those that are none of ours match nothing (RFC 9110, section 13.1.1)."""
    if header is None or header.strip() == "*":
        return None
    tags = re.findall(r'(?:^|,)\s*"([0-9a-f]{1,14})"\s*(?=,|$)', header)
    return [_EPOCH + timedelta(microseconds=int(tag, 16)) for tag in tags]


def matches(header: str | None, tag: str) -> bool:
    """If-None-Match, compared weakly."""
    return header is not None and (header.strip() == "*" or tag in re.findall(r'"[^"]*"', header))
