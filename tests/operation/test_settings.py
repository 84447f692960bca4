"""A wrong setting is one sentence that names its variable, and never quotes what it holds."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from identity.cli.start import new_secret_key, read_settings
from identity.errors import StartError
from tests.operation.command import identity, is_one_sentence
from tests.running import free_port

SHORT = base64.b64encode(b"hunter2").decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hunter2"),
        ("SECRET_KEY", SHORT),
        ("SECRET_KEY_PREVIOUS", "hunter2"),
        ("SINGLE_LOGIN", "hunter2"),
        ("POOL_MIN", "-1"),
        ("POOL_MAX", "hunter2"),
        ("VERIFY_CONNECTIONS", "0"),
        ("CHECKOUT_TIMEOUT_S", "inf"),
        ("VERIFY_TIMEOUT_S", "nan"),
        ("STATEMENT_TIMEOUT_S", "hunter2"),
        ("RECEIVE_TIMEOUT_S", "0"),
        ("PURGE_AFTER_S", "-1"),
        ("TRUSTED_PROXIES", "hunter2"),
        ("TRUSTED_PROXIES", '["hunter2"]'),
        ("BASE_URL", "hunter2"),
        ("DATABASE_URL", "hunter2"),
        ("LANES_DATABASE_URL", "hunter2"),
        ("MIGRATE_DATABASE_URL", "hunter2"),
    ],
)
def test_a_wrong_setting_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"IDENTITY_{name}", value)
    with pytest.raises(StartError) as refused:
        read_settings()
    assert f"IDENTITY_{name} " in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert SHORT not in str(refused.value)


def test_a_pool_that_is_smaller_than_its_least_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDENTITY_POOL_MIN", "9")
    monkeypatch.setenv("IDENTITY_POOL_MAX", "8")
    with pytest.raises(StartError, match="IDENTITY_POOL_M"):
        read_settings()


def test_a_line_of_env_counts_and_a_variable_counts_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("IDENTITY_POOL_MAX=7\nIDENTITY_POOL_MIN=3\n")
    monkeypatch.setenv("IDENTITY_POOL_MAX", "9")
    assert (read_settings().pool_min, read_settings().pool_max) == (3, 9)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"IDENTITY_POOL_MAX": "hunter2"}, "IDENTITY_POOL_MAX"),
        ({"IDENTITY_DATABASE_URL": "postgresql://service@127.0.0.1:1/x"}, "IDENTITY_SECRET_KEY is missing"),
        (
            {
                "IDENTITY_DATABASE_URL": "postgresql://service:hunter2@127.0.0.1:1/x",
                "IDENTITY_SECRET_KEY": new_secret_key(),
            },
            "IDENTITY_DATABASE_URL",
        ),
    ],
)
def test_serve_says_it_in_one_sentence(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], named: str) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    refused = identity("serve", "--port", str(free_port()))
    assert refused.returncode == 1
    assert is_one_sentence(refused.stderr), refused.stderr
    assert named in refused.stderr
    assert "hunter2" not in refused.stderr
