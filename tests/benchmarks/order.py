"""What a load is told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Order:
    """What is to be asked, of whom, and for how long."""

    port: int
    connections: int
    seconds: float
    keys: str
    """A file of keys' texts, in the order of their tenants."""
    callers: str
    """A file of those who ask, of whom each asks about an equal share of the keys."""
    ask: str = "verify"
    """What: verify, introspect, sign-in, refresh; or `hash`, which asks nobody and hashes in as many threads."""
    batch: int = 0
    """Keys in one question; 0 for a single one, which is asked in another form."""
    lead_s: float = 0.5
    """Not counted."""
    once: bool = False
    """Each key once, in order, instead of random ones for so long."""
    threads: int = 0
    """Where it hashes."""
    watched: dict[str, int] = field(default_factory=dict)
    """Processes whose share of the processors is told, by name."""
