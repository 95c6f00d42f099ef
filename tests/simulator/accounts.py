"""The accounts of a simulator and their keys."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulator.people import DOMAIN
from tests.simulator.world import World

Keys = Mapping[str, str]


def v1_keys(number: int) -> dict[str, str]:
    """Credentials of API 1.0 for the simulated account with that number."""
    return {
        "application_id": f"5171a000-0000-4000-8000-{number:012d}",
        "application_key": f"5171b000-0000-4000-8000-{number:012d}",
        "access_key": f"simulated-access-key-{number}",
        "secret_key": base64.b64encode(f"simulated secret key {number}".encode()).decode(),
    }


def v2_keys(number: int) -> dict[str, str]:
    """Credentials of API 2.0 for the simulated account with that number."""
    return {"client_id": f"simulated-client-{number}", "client_secret": f"simulated-secret-{number}"}


V1_KEYS = v1_keys(1)
V2_KEYS = v2_keys(1)


@dataclass(frozen=True)
class Account:
    """One account; it has any number of key sets of either generation."""

    code: str
    name: str
    keys: tuple[Keys, ...]
    world: World | None = None  # None: that of the simulator
    may_read_logs: bool = True
    may_read_account: bool = True
    keys_expired: bool = False  # those of API 1.0
    packages: tuple[str, ...] = ("Attachment Protection (Site) [1056]", "Email Security [1001]")

    @classmethod
    def numbered(cls, number: int, **changes: Any) -> "Account":
        """An account with `v1_keys(number)` and `v2_keys(number)`."""
        fields: dict[str, Any] = {"keys": (v1_keys(number), v2_keys(number))} | changes
        return cls(f"CSIM{number}A{number}", f"Contoso {number} (simulated)", **fields)

    def details(self) -> dict[str, Any]:
        """The answer of get-account."""
        return {
            "region": "loopback",
            "accountCode": self.code,
            "accountName": self.name,
            "adminEmail": f"admin@{DOMAIN}",
            "contactEmail": f"admin@{DOMAIN}",
            "domain": DOMAIN,
            "userCount": 384,
            "mimecastId": f"{self.code}-0",
            "maxRetention": 90,
            "maxRetentionConfirmed": True,
            "type": "full",
            "packages": list(self.packages),
        }


def account_with(accounts: tuple[Account, ...], field: str, value: str) -> tuple[Account, Keys] | None:
    """The account that has a key set whose `field` is `value`, and that key set."""
    for account in accounts:
        for keys in account.keys:
            if keys.get(field) == value:
                return account, keys
    return None
