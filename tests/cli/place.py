"""Where `identity init` is run: a directory, a database of its own, and what it leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

from identity.settings import Settings
from tests.cli.managed import Managed
from tests.cli.shell import Shell
from tests.running import free_port
from tests.server import execute

KEY = re.compile(r"isk_live_\w{72}")


class Place:
    """A directory, a database, a login that may set it up, and the name of the service's login to be."""

    def __init__(self, managed: Managed, login: str, directory: Path) -> None:
        self.managed, self.login, self.directory = managed, login, directory
        self.database = managed.new_database(self.login)
        self.service_login = self.database.replace("database", "service")
        self.port = free_port()

    @property
    def url(self) -> str:
        return self.managed.url(self.login, self.database)

    @property
    def env(self) -> Path:
        return self.directory / ".env"

    @property
    def settings(self) -> Settings:
        return Settings(_env_file=self.env)

    @property
    def shell(self) -> Shell:
        return Shell(self.directory)

    def init(self, *options: str) -> list[str]:
        return ["init", "--service-login", self.service_login, "--port", str(self.port), *options]

    def is_untouched(self) -> bool:
        """Migrations may be there, each whole; neither a file nor a login."""
        return list(self.directory.iterdir()) == [] and not self.managed.knows(self.service_login)

    def works(self, key: str) -> bool:
        """With what init left, and nothing else: the login, the settings, the key."""
        assert self.env.stat().st_mode & 0o777 == 0o600
        assert execute(self.settings.main_url, "SELECT current_user::text") == [(self.service_login,)]
        done = self.shell("verify", "--json", typed=key)
        return done.exit_code == 0
