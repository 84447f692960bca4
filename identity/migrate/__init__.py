"""Migrations: yoyo's files and steps, made safe against two at once, a kill -9, and an edit."""

from identity.migrate.files import Step, directory, ids, read
from identity.migrate.logins import connect, login_exists, make_login, make_roles, new_password
from identity.migrate.reasons import NO_HOST, why_not
from identity.migrate.steps import Status, apply, missing, must_not_be_behind, plan, rollback, status

__all__ = [
    "NO_HOST",
    "Status",
    "Step",
    "apply",
    "connect",
    "directory",
    "ids",
    "login_exists",
    "make_login",
    "make_roles",
    "missing",
    "must_not_be_behind",
    "new_password",
    "plan",
    "read",
    "rollback",
    "status",
    "why_not",
]
