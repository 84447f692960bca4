"""The examples do what they say, against a service as a reader would start it, once and once more."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx2
import jwt as pyjwt
import pytest

from tests import chromium
from tests.conftest import PASSWORD
from tests.running import free_port

EXAMPLES = Path(__file__).parents[1] / "examples"
READY_S = 60

AIRPORTS_20 = {
    "branches": 20,
    "users": 50,
    "keys": 20,
    "verified: valid": 12,
    "verified: revoked": 2,
    "verified: branch_disabled": 2,
    "verified: user_suspended": 2,
    "verified: access_revoked": 2,
    "verified: insufficient_scope": 1,
    "verified: wrong_branch": 1,
    "verified: malformed": 4,
    "verified: not_found": 1,
}


@dataclass(frozen=True)
class Service:
    """Where it listens, and where its platform key lies."""

    url: str
    data_dir: Path

    @property
    def platform_key(self) -> str:
        return (self.data_dir / "admin_key").read_text().strip()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Its log goes to a file: the examples make more of it than a pipe takes that nobody reads."""
    directory, port = Path(mkdtemp(prefix="idt-", dir="/tmp")), free_port()
    command = (sys.executable, "-m", "identity", "serve", "--port", str(port))
    with (directory / "log").open("w") as log:
        env = os.environ | {"IDENTITY_DATA_DIR": str(directory)}
        process = subprocess.Popen(command, cwd=directory, env=env, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield Service(f"http://127.0.0.1:{port}", directory)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(READY_S)
        shutil.rmtree(directory)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], path: str = "/readyz") -> None:
    until = time.monotonic() + READY_S
    while True:
        with suppress(httpx2.TransportError):
            if httpx2.get(url + path).is_success:
                return
        assert process.poll() is None, "it ended instead"
        assert time.monotonic() < until, "it did not get ready"
        time.sleep(0.1)


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """In a directory without a .env, so that nothing is read but what is given."""
    return subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(text: str) -> dict[str, int]:
    """The rows of the last table: what, and how many."""
    return {name.strip(): int(count.replace(",", "")) for name, count in re.findall(r"│ (.+?) │ +([\d,]+) │", text)}


def found(service: Service, path: str) -> list[dict[str, Any]]:
    """A list, as the platform sees it."""
    answer = httpx2.get(f"{service.url}/v1/tenants/{path}", headers={"Authorization": f"Bearer {service.platform_key}"})
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return items


def test_airports_ends_the_same_when_it_is_run_again(service: Service, tmp_path: Path) -> None:
    (tmp_path / ".identity").symlink_to(service.data_dir)
    airports = (sys.executable, EXAMPLES / "airports.py", "--url", service.url, "--limit", "20")
    for _ in range(2):
        assert table(said(run(*airports, cwd=tmp_path))) == AIRPORTS_20
        assert len(found(service, "airports/apps/checkin/branches")) == 20
        assert len(found(service, "airports/apps/checkin/keys")) == 20
        assert all(key["revoked_at"] for key in found(service, "airports/apps/identity/keys"))
    livingston = found(service, "airports/apps/checkin/branches?code=00R")[0]
    assert livingston["name"] == "Livingston Municipal"
    assert livingston["address"]["latitude"] == 30.68586111
    assert livingston["status"] == "disabled"


def test_airports_says_what_it_lacks(service: Service, tmp_path: Path) -> None:
    airports = (sys.executable, EXAMPLES / "airports.py", "--limit", "1", "--url")
    assert "Set IDENTITY_KEY" in run(*airports, service.url, cwd=tmp_path).stderr
    assert "This key is not known." in run(*airports, service.url, cwd=tmp_path, IDENTITY_KEY="wrong").stderr
    assert "make run" in run(*airports, "http://127.0.0.1:1", cwd=tmp_path, IDENTITY_KEY="any").stderr


def test_airports_need_nothing_of_ours_but_http() -> None:
    assert not re.search(r"^(from|import) identity\b", (EXAMPLES / "airports.py").read_text(), re.MULTILINE)


def test_quickstart_prints_what_the_stores_answer(tmp_path: Path) -> None:
    done = run(sys.executable, EXAMPLES / "quickstart.py", cwd=tmp_path, TMPDIR="/tmp")
    assert said(done).splitlines() == [
        "tenant       Acme, active",
        "app          Shop, web",
        "user         Ana.García, whose access to shop is active",
        "found        as ANA.GARCÍA; is it the same user? True",
        "rolled back  username_taken; is there a ben? False",
        "key          isk_live_…, for orders:*",
        "verified     for orders:read: valid",
        "verified     for stock:read: insufficient_scope",
        "revoked      revoked",
    ]


def test_curl_alone_takes_a_key_through_its_life_twice(service: Service, tmp_path: Path) -> None:
    for _ in range(2):
        done = run(
            "bash",
            EXAMPLES / "curl.sh",
            cwd=tmp_path,
            IDENTITY_URL=service.url,
            IDENTITY_KEY=service.platform_key,
        )
        lines = [line.split() for line in said(done).splitlines()]
        assert [line[0] for line in lines[:5]] == ["tenant", "app", "branch", "user", "access"]
        key, verified, rotated, old, new, revoked, dead, _ = lines[5:]
        assert rotated[2] == key[1]
        assert [verified[1:], old[1:]] == [[key[1], "valid"], [key[1], "revoked"]]
        assert [new[1:], dead[1:]] == [[rotated[1], "valid"], [rotated[1], "revoked"]]
        assert revoked[1:] == [rotated[1], "till", "stolen"]
        assert all(key["revoked_at"] for key in found(service, "globex/keys"))


def test_curl_stops_at_the_first_refusal(service: Service, tmp_path: Path) -> None:
    done = run("bash", EXAMPLES / "curl.sh", cwd=tmp_path, IDENTITY_URL=service.url, IDENTITY_KEY="wrong")
    assert done.returncode == 1
    assert "401 invalid_token: This key is not known." in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def platform(service: Service) -> Iterator[httpx2.Client]:
    """Who makes the organisation of the demo, in which Ana may read orders and Ben may sign in and no more."""
    key = {"Authorization": f"Bearer {service.platform_key}"}
    with httpx2.Client(base_url=f"{service.url}/v1/tenants", headers=key) as found:
        found.put("/acme", json={"name": "Acme"}).raise_for_status()
        found.put("/acme/apps/shop", json={"name": "Shop", "type": "web"}).raise_for_status()
        for user, scopes in (("ana", ["orders:read"]), ("ben", [])):
            found.put(f"/acme/users/{user}", json={"username": user}).raise_for_status()
            found.put(f"/acme/apps/shop/users/{user}", json={"scopes": scopes}).raise_for_status()
            found.put(f"/acme/users/{user}/password", json={"password": PASSWORD}).raise_for_status()
        yield found


@pytest.fixture(scope="module")
def shop(service: Service, platform: httpx2.Client) -> Iterator[str]:
    """Where the application with the form listens."""
    port = free_port()
    env = os.environ | {"IDENTITY_URL": service.url, "PORT": str(port)}
    process = subprocess.Popen((sys.executable, EXAMPLES / "sign_in.py"), env=env)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process, "/sign-in")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(READY_S)


@pytest.fixture
def browser(shop: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=shop, follow_redirects=True, headers={"User-Agent": "Browser/1"}) as found:
        yield found


def enter(browser: httpx2.Client, login: str = "ana", password: str = PASSWORD) -> httpx2.Response:
    return browser.post("/sign-in", data={"login": login, "password": password})


def test_people_sign_in_at_the_form_and_out_again(browser: httpx2.Client, platform: httpx2.Client) -> None:
    assert browser.get("/orders").url.path == "/sign-in"
    refused = enter(browser, password="wrong")
    assert (refused.status_code, "does not open" in refused.text, dict(browser.cookies)) == (401, True, {})
    welcome = enter(browser, login="ANA")
    assert (welcome.url.path, "ana may orders:read<" in welcome.text) == ("/", True)
    kept = welcome.history[0].headers.get_list("set-cookie")
    assert all("HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in kept)
    assert ["Max-Age=300" in cookie for cookie in kept] == [True, False]
    assert "Three orders" in browser.get("/orders").text
    [session] = platform.get("/acme/users/ana/sessions").json()["items"]
    assert session["user_agent"] == "Browser/1"
    assert browser.post("/sign-out").url.path == "/sign-in"
    assert platform.get("/acme/users/ana/sessions").json()["items"] == []
    assert (dict(browser.cookies), browser.get("/").url.path) == ({}, "/sign-in")


def test_a_page_that_needs_a_scope_is_not_for_who_lacks_it(browser: httpx2.Client) -> None:
    assert "ben may <" in enter(browser, login="ben").text
    lacks = browser.get("/orders")
    assert (lacks.status_code, "needs orders:read" in lacks.text) == (403, True)


def test_an_access_token_that_is_over_or_forged_is_refreshed_unseen(browser: httpx2.Client) -> None:
    enter(browser)
    before = dict(browser.cookies)
    browser.cookies.delete("access_token")  # as browsers do, in time
    assert "Three orders" in browser.get("/orders").text
    after = dict(browser.cookies)
    assert before.keys() == after.keys()
    assert not before.items() & after.items()
    forged = after["access_token"][:-8] + "forged__"
    browser.cookies.set("access_token", forged, "127.0.0.1")
    assert browser.get("/").url.path == "/"
    assert forged not in browser.cookies.values()
    browser.cookies.clear()
    assert browser.get("/", headers={"Cookie": f"access_token={forged}"}).url.path == "/sign-in"


def test_what_is_checked_by_itself_is_good_until_it_is_over_and_no_longer(
    browser: httpx2.Client, platform: httpx2.Client
) -> None:
    enter(browser)
    kept = dict(browser.cookies)
    platform.post("/acme/users/ana/end-sessions").raise_for_status()
    assert "Three orders" in browser.get("/orders").text, "which nobody who does not ask can know"
    browser.cookies.delete("access_token")
    assert browser.get("/orders").url.path == "/sign-in"
    token = kept["access_token"]
    assert "Three orders" in browser.get("/orders", headers={"Cookie": f"access_token={token}"}).text


def test_only_a_persons_token_for_this_app_opens_it(
    browser: httpx2.Client, platform: httpx2.Client, service: Service
) -> None:
    platform.put("/acme/apps/till", json={"name": "Till", "type": "web"}).raise_for_status()
    platform.put("/acme/apps/till/users/ana").raise_for_status()
    key = platform.post("/acme/apps/shop/keys", json={"name": "robot"}).json()["key"]
    form = {"grant_type": "client_credentials", "client_id": "acme/shop", "client_secret": key}
    of_a_key = httpx2.post(f"{service.url}/oauth/token", data=form)
    login = {"login": "ana", "password": PASSWORD, "app_id": "till"}
    of_another_app = httpx2.post(f"{service.url}/v1/tenants/acme/sessions", json=login)
    for answer in (of_a_key, of_another_app):
        token = answer.raise_for_status().json()["access_token"]
        assert browser.get("/", headers={"Cookie": f"access_token={token}"}).url.path == "/sign-in"


def test_another_sites_form_signs_nobody_in(browser: httpx2.Client) -> None:
    form = {"login": "ana", "password": PASSWORD}
    assert browser.post("/sign-in", data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert dict(browser.cookies) == {}


@pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Chromium")
def test_it_works_in_a_real_browser_and_no_other_site_can_use_it(shop: str) -> None:
    elsewhere = shop.replace("127.0.0.1", "localhost")
    with chromium.new_tab() as tab:

        def sign_in() -> None:
            tab.wait_for("Password")
            tab.fill("login", "ana")
            tab.fill("password", PASSWORD)
            tab.press("Sign in")

        tab.open(f"{shop}/orders")
        sign_in()
        tab.wait_for("ana may orders:read")
        assert tab.run("document.cookie") == ""
        tab.forget("access_token", shop)
        tab.run("document.links[0].click()")
        tab.wait_for("Three orders")
        for path, then in (("/sign-out", "ana may"), ("/sign-in", "signs nobody in")):
            tab.open(f"{elsewhere}/sign-in")
            tab.wait_for("Password")
            tab.run(f"document.forms[0].action = '{shop}{path}'; document.forms[0].submit()")
            tab.wait_for(then)
            tab.open(f"{shop}/orders")
            tab.wait_for("Three orders")
        tab.open(shop)
        tab.wait_for("ana may")
        tab.press("Sign out")
        tab.wait_for("Password")


@pytest.mark.parametrize("status", [None, 503, 429])
async def test_an_outage_signs_nobody_out(status: int | None) -> None:
    """Whether Identity cannot be reached, or says that it cannot."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    metadata = {"issuer": nowhere} | dict.fromkeys(("token_endpoint", "revocation_endpoint", "jwks_uri"), nowhere)
    app = runpy.run_path(str(EXAMPLES / "sign_in.py"))["make_app"](metadata, "acme/shop")
    if status is not None:
        answers = httpx2.MockTransport(lambda _: httpx2.Response(status))
        app.state.identity._http = httpx2.AsyncClient(transport=answers)
    of_unknown_key = pyjwt.encode({}, "k" * 32, headers={"kid": "k"})
    transport = httpx2.ASGITransport(app=app)
    for kept, method, path in (
        ({"refresh_token": "kept"}, "GET", "/"),
        ({"refresh_token": "kept"}, "POST", "/sign-out"),
        ({"access_token": of_unknown_key}, "GET", "/"),
        ({}, "POST", "/sign-in"),
    ):
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop", cookies=kept) as one:
            answer = await one.request(method, path)
            assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)


def test_signing_in_needs_nothing_of_ours_but_http() -> None:
    assert not re.search(r"^(from|import) identity\b", (EXAMPLES / "sign_in.py").read_text(), re.MULTILINE)
