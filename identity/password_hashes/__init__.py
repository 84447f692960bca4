"""Password hashes as they are understood here: our own Argon2id, and those that other systems have made."""

from __future__ import annotations

import logging
import re
from importlib import import_module

from argon2.exceptions import Argon2Error

from identity.password_hashes.checks import Parts
from identity.password_hashes.forms import FORMS, Form

MAX_CHARS = 500
INSTALL = "pip install 'identity[hashes]'"

log = logging.getLogger("identity")


def judge(hash: str) -> None:
    """ValueError, with nothing of it, where it is of no form that is known, may cost too much, or where what checks it
    is not installed."""
    found = _find(hash)
    if found is None:
        raise ValueError("must be a password's hash as one of these writes it: " + ", ".join(f.name for f in FORMS))
    form, parts = found
    if not form.is_taken(parts):
        raise ValueError(f"must keep to what is taken: {form.name} {form.at_most}")
    if form.needs_extra and not _is_installed():
        raise ValueError(f"needs what is not installed with the service, to check {form.name}: {INSTALL}")


def matches(hash: str, password: str) -> bool:
    """False too where the hash is none that is taken."""
    found = _find(hash)
    if found is None or not found[0].is_taken(found[1]):
        return False
    form, parts = found
    try:
        return form.check(password, parts)
    except ImportError:
        log.error("Passwords hashed by %s cannot be checked: %s", form.name, INSTALL)
    except (Argon2Error, ValueError):
        pass
    return False


def _is_installed() -> bool:
    try:
        return all(map(import_module, ("bcrypt", "passlib")))  # which is dear but once, unlike to look for them
    except ImportError:
        return False


def _find(hash: str) -> tuple[Form, Parts] | None:
    for form in FORMS if len(hash) <= MAX_CHARS else ():
        if found := re.fullmatch(form.pattern, hash, re.ASCII):
            return form, {"hash": hash} | found.groupdict("")
    return None
