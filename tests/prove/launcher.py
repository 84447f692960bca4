"""`identity` with one thing more: SIGUSR1 keeps its event loop from everything for half a second."""

from __future__ import annotations

import signal
import time
from types import FrameType

from identity.cli import app

BLOCKED_S = 0.5


def block(number: int, frame: FrameType | None) -> None:
    time.sleep(BLOCKED_S)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, block)
    app()
