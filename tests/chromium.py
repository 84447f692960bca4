"""Chromium without a window, told what to do in the DevTools protocol, over a pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

PROGRAM = shutil.which("chromium")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")
WAIT_S = 20


class Tab:
    """One page, and what a person does with it."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers = orders, answers
        self._session: dict[str, str] = {}
        self._count = 0
        target = self._tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def open(self, url: str) -> None:
        self._tell("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        return self._tell("Runtime.evaluate", expression=script).get("result", {}).get("value")

    def forget(self, cookie: str, url: str) -> None:
        self._tell("Network.deleteCookies", name=cookie, url=url)

    def fill(self, name: str, text: str) -> None:
        """As typed: what is not there to be typed into takes nothing."""
        self.run(f"document.querySelector('[name={name}]').focus()")
        self._tell("Input.insertText", text=text)

    def press(self, button: str) -> None:
        self.run(
            f"[...document.querySelectorAll('button')].find(each => each.innerText == {json.dumps(button)}).click()"
        )

    def wait_for(self, text: str) -> None:
        until_s = time.monotonic() + WAIT_S
        while text not in (said := self.run("document.body && document.body.innerText") or ""):
            assert time.monotonic() < until_s, said
            time.sleep(0.02)

    def _tell(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        order = {"id": self._count, "method": method, "params": params} | self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        self._orders.flush()
        while (answer := self._next()).get("id") != self._count:
            pass
        found: dict[str, Any] = answer.get("result", {})
        return found

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "it ended"
            text += byte
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def new_tab() -> Iterator[Tab]:
    """It reads orders at descriptor 3 and answers at 4, where only a shell can put them."""
    its_orders, orders = os.pipe()
    answers, its_answers = os.pipe()
    with tempfile.TemporaryDirectory(prefix="idt-", dir="/tmp") as profile:
        command = f'exec "$0" "$@" 3<&{its_orders} 4>&{its_answers}'
        process = subprocess.Popen(
            ("bash", "-c", command, str(PROGRAM), *OPTIONS, f"--user-data-dir={profile}"),
            pass_fds=(its_orders, its_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_orders)
        os.close(its_answers)
        watchdog = threading.Timer(3 * WAIT_S, process.kill)
        watchdog.start()
        try:
            with open(orders, "wb") as to, open(answers, "rb") as from_it:  # noqa: PTH123  (descriptors)
                yield Tab(to, from_it)
        finally:
            watchdog.cancel()
            process.terminate()
            process.wait(WAIT_S)
