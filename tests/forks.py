"""Processes that are forked from one that has imported everything, since to import it takes a second of a core."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing import process as processes
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.cli.cut", "tests.idempotency.worker", "tests.conftest"])
TIMEOUT_S = 60


def forked(
    main: Callable[..., None], words: Sequence[str], env: dict[str, str], cwd: Path, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """How a process of its own ended in which `main` was called with these words, and what it said."""
    with ExitStack() as stack:
        given, out, err = streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        given.write(typed.encode())
        given.seek(0)
        files = [file.fileno() for file in streams]
        process = FORKS.Process(target=_run, args=(main, words, env, str(cwd), _Files(files)))
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, TIMEOUT_S)
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(words, process.exitcode, out.read().decode(), err.read().decode())


class _Files:
    """File descriptors that are sent along when a process is started."""

    def __init__(self, files: list[int]) -> None:
        self.files = files

    def __reduce__(self) -> Any:
        return list, ([DupFd(file) for file in self.files],)


def _run(main: Callable[..., None], words: Sequence[str], env: dict[str, str], cwd: str, files: list[Any]) -> None:
    """As an interpreter that has just been started."""
    for number, file in enumerate(files):
        os.dup2(file.detach(), number)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests themselves run in the background
    vars(processes)["_parent_process"] = None
    try:
        main(*words)
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # where coverage keeps what it saw
