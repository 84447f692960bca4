"""How often one address may ask for what needs no key."""

from __future__ import annotations

import ipaddress
import math
import time

from identity.errors import IdentityError


class TooManyRequests(IdentityError):
    """More than the limit from one address."""

    status = 429

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            "too_many_requests", "Too many of these come just now, or from your address: wait, then go on."
        )
        self.wait_s = wait_s

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(math.ceil(self.wait_s))}


class RateLimit:
    """So many at once from one address, and then one in each interval (GCRA); in this worker, and bounded: whoever was
    quiet for longest is forgotten first."""

    def __init__(self, *, at_once: int, every_s: float, remembered: int) -> None:
        self.at_once = at_once
        self.every_s = every_s
        self.remembered = remembered
        self._paid_until_s: dict[str, float] = {}
        """By when an address has used up what it took; in the order of their last request."""

    def take(self, address: str, now_s: float | None = None) -> None:
        """TooManyRequests where there is none left; that one is not counted."""
        who, now_s = network_of(address), time.monotonic() if now_s is None else now_s
        paid_until_s = max(self._paid_until_s.pop(who, now_s), now_s)
        wait_s = paid_until_s + self.every_s - now_s - self.at_once * self.every_s
        self._paid_until_s[who] = paid_until_s if wait_s > 0 else paid_until_s + self.every_s
        if len(self._paid_until_s) > self.remembered:
            del self._paid_until_s[next(iter(self._paid_until_s))]
        if wait_s > 0:
            raise TooManyRequests(wait_s)


def network_of(address: str) -> str:
    """Of IPv6 the /64, since one customer has as many addresses as they like."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
