"""What is asked of the database for a verdict, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from identity.key_text import KeyText
from identity.verify.batch import Batch
from identity.verify.known import Known


@dataclass(slots=True)
class Question:
    """One key's text, on its way to a verdict."""

    text: str
    digest: bytes
    known: Known | None
    tenant_id: str | None = None
    """Among whose imported keys it is looked up; None: it is one of ours, or nothing."""
    key: KeyText | None = None
    name: str | None = None
    """Of an imported key, once it is asked for whole."""
    batch: Batch | None = None


@dataclass(slots=True)
class Found:
    """The rows of a look-up by what was asked, and in which epoch of the memory they were asked for."""

    epoch: int
    rows: dict[str, Any]
    judged: dict[bytes, Known] = field(default_factory=dict)
    """By digest: those who ask together often do so with the same key."""
