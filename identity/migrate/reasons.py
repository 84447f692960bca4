"""Why a database cannot be reached, for somebody who sets things up."""

from __future__ import annotations

import re

NO_HOST = "there is no host of that name: check its spelling (in a URL, a password is percent-encoded)"
CURES = (
    (r"resolve host|translate host name|Name or service not known", NO_HOST),
    (r"Connection refused", "nothing listens there; see that PostgreSQL runs, on this host and port"),
    (r"No such file or directory", "there is no such socket; see that PostgreSQL runs, and name its host"),
    (r"timeout|timed out", "it does not answer; a firewall may be in the way, or the host another"),
    (r"no password supplied", "this login needs a password"),
    (r"password authentication failed", "the login or its password is wrong"),
    (r"no pg_hba\.conf entry", "the server lets nobody of that name in from here: add a line to its pg_hba.conf"),
    (r'role ".*" does not exist', "there is no such login"),
    (r"authentication failed", "the server does not take this user for that login"),
    (r'database ".*" does not exist', "there is no such database: CREATE DATABASE it, owned by this login"),
    (r"unsupported startup parameter", "a pooler answers: name the server itself, on its own port (often 5432)"),
    (r"server does not support SSL", "it has no TLS, and the URL asks for it: sslmode=prefer"),
    (
        r"server closed the connection|invalid response|unexpected response|lost synchronization",
        "what answers there is no PostgreSQL, or it ends the connection: see its log",
    ),
    (r"too many (clients|connections)|remaining connection slots", "all its connections are taken"),
)
"""libpq's words, and what they mean for somebody who sets things up."""


def why_not(said: str) -> str:
    """A cure, or the server's own words. Never libpq's: they quote the URL, and with it half a password that was not
    percent-encoded."""
    for pattern, cure in CURES:
        if re.search(pattern, said, re.IGNORECASE):
            return cure
    if "FATAL:" in said:
        return said.rpartition("FATAL:")[2].strip().rstrip(".")
    return "its URL is not as it should be"
