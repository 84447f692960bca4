"""`identity` with two things more: SIGUSR1 keeps its event loop from everything for half a second; and it need not be
waited for a minute until it sweeps and purges."""

from __future__ import annotations

import signal
import time
from importlib import import_module
from types import FrameType

from identity.cli import app

BLOCKED_S = 0.5
EVERY_S = 1.0


def block(number: int, frame: FrameType | None) -> None:
    time.sleep(BLOCKED_S)


if __name__ == "__main__":
    vars(import_module("identity.api.sweeping"))["EVERY_S"] = EVERY_S
    signal.signal(signal.SIGUSR1, block)
    app()
