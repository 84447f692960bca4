"""`identity …` that is sent a signal just before or just after one of its deeds."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from identity.cli import app
from tests.forks import forked
from tests.operation.command import environment


def cut(
    deed: str, moment: str, number: int, words: list[str], cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """How it ended. A deed is a module's function: identity.migrate:make_login."""
    return forked(_cut, [deed, moment, str(number), *words], environment(**variables), cwd)


def _cut(deed: str, moment: str, number: str, *words: str) -> None:
    _signal_at(deed, moment, int(number))
    app(list(words), prog_name="identity")


def _signal_at(deed: str, moment: str, number: int) -> None:
    module, name = deed.split(":")
    real = getattr(importlib.import_module(module), name)

    def signal_if(now: str) -> None:
        if now == moment:
            os.kill(os.getpid(), number)

    def call(*args: Any, **more: Any) -> Any:
        signal_if("before")
        done = real(*args, **more)
        signal_if("after")
        return done

    async def call_async(*args: Any, **more: Any) -> Any:
        signal_if("before")
        done = await real(*args, **more)
        signal_if("after")
        return done

    setattr(sys.modules[module], name, call_async if inspect.iscoroutinefunction(real) else call)
