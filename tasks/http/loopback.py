"""Requests to this machine never use a proxy: their content would leave the machine unencrypted."""

import ipaddress
import os
from urllib.request import getproxies_environment

ALWAYS = ("localhost", "127.0.0.1", "::1")
NAMES = ("no_proxy", "NO_PROXY")


def is_loopback(host: str) -> bool:
    """Whether requests to a host, written without brackets, stay on this machine. No name is resolved."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return address.is_loopback or address.is_unspecified  # 0.0.0.0 as a destination is this machine


def bypass_proxy_for_loopback(*hosts: str) -> None:
    """Add loopback, and those of `hosts` that are loopback, to `NO_PROXY`; child processes inherit it.

    Existing entries are kept. Without a proxy in the environment nothing changes: on macOS, `NO_PROXY` alone would
    disable the proxies of the system's settings.
    """
    if not getproxies_environment().keys() - {"no"}:
        return
    # No client supports 127.0.0.0/8 here, so each address is named.
    wanted = [*ALWAYS, *dict.fromkeys(host.lower() for host in hosts if is_loopback(host) and host not in ALWAYS)]
    before = {name: os.environ[name] for name in NAMES if name in os.environ}
    # urllib, and so httpx and websockets, prefers the lower-case variable; other programs do not.
    for name, other in (NAMES, NAMES[::-1]):
        os.environ[name] = _with(before.get(name, before.get(other, "")), wanted)


def _with(value: str, wanted: list[str]) -> str:
    if value == "*":  # no proxy at all; as one of several entries, websockets would not support it
        return value
    entries = [_without_brackets(entry.strip()) for entry in value.split(",") if entry.strip()]
    return ",".join([*entries, *(host for host in wanted if host not in entries)])


def _without_brackets(entry: str) -> str:
    """httpx fails on an IPv6 address in brackets."""
    return entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
