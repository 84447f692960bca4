"""How uvicorn serves, and to how many."""

from __future__ import annotations

import resource
from typing import Any

MAX_OPEN_FILES = 65_536
HTTP: dict[str, Any] = {
    "loop": "auto",
    "ws": "none",
    "lifespan": "on",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "proxy_headers": False,  # whose address counts is decided by IDENTITY_TRUSTED_PROXIES
    "timeout_keep_alive": 75,
    "timeout_graceful_shutdown": 10,
}


def allow_many_connections() -> None:
    """As many as the machine allows; many a shell grants 1,024, which a few slow clients would use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
