"""identity serve"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from identity import embedded
from identity.cli.demos import small as small_demo
from identity.cli.listening import HTTP, allow_many_connections
from identity.cli.start import prepare, read_settings
from identity.errors import StartError
from identity.settings import Settings

READY_S = 30.0


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: IDENTITY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: IDENTITY_PORT, else 8080.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 1,
    demo: Annotated[
        bool, typer.Option("--demo", help="Make a small demo organisation (embedded database only).")
    ] = False,
) -> None:
    """Run the service; without IDENTITY_DATABASE_URL on an embedded PostgreSQL."""
    settings = read_settings()
    host, port = host or settings.host, port or settings.port
    must_be_free(host, port)
    if settings.database_url is None:
        _serve_embedded(settings, host, port, workers, demo)
    else:
        _serve(settings, host, port, workers)


def _serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """uvicorn, after what would keep it from working has been looked at."""
    import uvicorn

    from identity.api.whole import WholeProtocol
    from identity.migrate import must_not_be_behind
    from identity.stores import open_stores

    async def judge() -> None:
        async with open_stores(settings) as stores:
            await must_not_be_behind(stores.session)

    if settings.secret_key is None:
        raise StartError(
            "IDENTITY_SECRET_KEY is missing: 32 bytes in base64, equal on all hosts (`openssl rand -base64 32`)."
        )
    asyncio.run(judge())
    allow_many_connections()
    os.environ["IDENTITY_BASE_URL"] = settings.base_url or _base_url(host, port)
    with _metrics_dir(settings, workers):
        uvicorn.run(
            "identity.api:asgi",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http=WholeProtocol,
            **HTTP,
        )


@contextmanager
def _metrics_dir(settings: Settings, workers: int) -> Iterator[None]:
    """Where several workers leave what they have seen. One needs none, and could not take it away: uvicorn ends it by
    the signal that it was sent."""
    if workers == 1 or settings.metrics_dir is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="identity-metrics-") as directory:
        os.environ["IDENTITY_METRICS_DIR"] = directory
        yield


def _serve_embedded(settings: Settings, host: str, port: int, workers: int, demo: bool) -> None:
    """PostgreSQL here, uvicorn in a child; whichever way this ends, both end."""
    with (
        embedded.hold(settings.data_dir),
        _ended_by_signals() as ending,
        embedded.server(settings.data_dir) as place,
    ):
        settings = prepare(settings, place)
        if demo:
            asyncio.run(small_demo.make(settings))
        child = _start_child(settings, host, port, workers)
        ending.child = child
        try:
            _wait_until_ready(host, port, child)
            typer.echo(_banner(settings, place, host, port))
            code = _wait(child, place)
        except _ChildEnded as ended:
            code = ended.code
        finally:
            _end(child)
    raise typer.Exit(0 if ending.asked else code)


class _ChildEnded(Exception):
    """The service ended before it was ready; it has said why."""

    def __init__(self, code: int) -> None:
        self.code = code


class _Ending:
    """What SIGTERM and SIGINT do: they are passed on to the child, or before there is one end the start."""

    child: subprocess.Popen[bytes] | None = None
    asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self.child is None:
            sys.exit(0)  # not typer's Exit: asyncio would log that and go on
        self.child.terminate()


@contextmanager
def _ended_by_signals() -> Iterator[_Ending]:
    ending = _Ending()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending)
    yield ending


def _start_child(settings: Settings, host: str, port: int, workers: int) -> subprocess.Popen[bytes]:
    assert settings.secret_key is not None
    env = os.environ | {
        "IDENTITY_DATABASE_URL": settings.main_url,
        "IDENTITY_SECRET_KEY": settings.secret_key.get_secret_value(),
        "IDENTITY_BASE_URL": settings.base_url or _base_url(host, port),
    }
    command = [
        sys.executable,
        "-m",
        "identity",
        "serve",
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    return subprocess.Popen(
        command,
        env=env,
        start_new_session=True,
        preexec_fn=partial(embedded.signal_on_parents_death, signal.SIGTERM, os.getpid()),
    )


def _wait(child: subprocess.Popen[bytes], server: embedded.Server) -> int:
    """Until the service ends; without its database it could only ever answer 503."""
    while (code := child.poll()) is None:
        if server.process.poll() is not None:
            raise StartError(f"PostgreSQL ended by itself, so the service ends too: see {server.log}, and start again.")
        time.sleep(0.1)
    return code


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(15)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait_until_ready(host: str, port: int, child: subprocess.Popen[bytes]) -> None:
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s:
        if child.poll() is not None:
            raise _ChildEnded(child.returncode)
        try:
            directly.open(f"{_base_url(host, port)}/readyz", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise StartError(f"The service did not get ready within {READY_S:.0f} s: its log is above.")


def must_be_free(host: str, port: int) -> None:
    if port not in range(1, 65536):
        raise StartError("A port is a number from 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"Cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose another with --port."
            ) from None


def _base_url(host: str, port: int) -> str:
    """As one reaches it from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _banner(settings: Settings, place: embedded.Place, host: str, port: int) -> str:
    url, key_file = _base_url(host, port), settings.data_dir / "admin_key"
    demo_key = settings.data_dir / "demo_key"
    lines = [
        f"Identity listens on {url} (routes: {url}/docs), its data lies in {place.data_dir}"
        + ("" if place.home.is_relative_to(place.data_dir) else f" and {place.home}"),
        f"The platform's key is in {key_file}. To try it:",
        f'  curl -s {url}/v1/tenants -H "Authorization: Bearer $(cat {key_file})"',
    ]
    if demo_key.exists():
        lines += [
            f'  curl -s {url}/v1/tenants/acme/apps/shop/branches -H "Authorization: Bearer $(cat {key_file})"',
            f'  curl -s {url}/v1/keys/verify -H "Authorization: Bearer $(cat {key_file})" \\',
            f'       --json "{{\\"key\\": \\"$(cat {demo_key})\\", \\"scopes\\": [\\"orders:read\\"]}}"',
        ]
    return "\n".join([*lines, "Stop it with Ctrl-C."])
