"""Secrets of factors lie sealed under IDENTITY_SECRET_KEY, of which each installation has its own: for their way they
are opened, and sealed anew where they arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass

from identity.copies.lines import as_json
from identity.factors import open_secret, seal_secret

FACTORS = "factors"


@dataclass
class FactorSecrets:
    """Those of one tenant, in one installation."""

    tenant_id: str
    secret_keys: tuple[bytes, ...]
    unopened: int = 0
    """Sealed under a key that is gone. They go as they are, and open nowhere: without them those people would be asked
    for their password alone."""

    def opened(self, row: bytes, secrets: bytes) -> bytes:
        sealed = bytes.fromhex(json.loads(secrets)["secret"].removeprefix(r"\x"))
        secret = open_secret(self.tenant_id, json.loads(row)["user_id"], sealed, self.secret_keys)
        if secret is None:
            self.unopened += 1
            return secrets
        return as_json({"opened": secret})

    def sealed(self, row: bytes, secrets: bytes) -> bytes:
        secret = json.loads(secrets).get("opened")
        if secret is None:
            self.unopened += 1
            return secrets
        sealed = seal_secret(self.tenant_id, json.loads(row)["user_id"], secret, self.secret_keys)
        return as_json({"secret": rf"\x{sealed.hex()}"})
