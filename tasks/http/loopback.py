"""Requests to this very machine never use a proxy: what they carry would leave the machine, in clear."""

import ipaddress
import os
from urllib.request import getproxies_environment

ALWAYS = ("localhost", "127.0.0.1", "::1")
NAMES = ("no_proxy", "NO_PROXY")


def is_loopback(host: str) -> bool:
    """Whether requests to a host, written without brackets, stay on this machine. No name is looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return address.is_loopback or address.is_unspecified  # 0.0.0.0 as a destination is this machine


def bypass_proxy_for_loopback(*hosts: str) -> None:
    """Except loopback, and those of the hosts that are, from the proxies of the environment; children inherit that.

    What is excepted already stays. Nothing happens without a proxy in the environment: on macOS, `NO_PROXY` alone
    would switch off the proxies of the system's settings.
    """
    if not getproxies_environment().keys() - {"no"}:
        return
    # No client understands 127.0.0.0/8 here: each address has to be named.
    wanted = [*ALWAYS, *dict.fromkeys(host.lower() for host in hosts if is_loopback(host) and host not in ALWAYS)]
    before = {name: os.environ[name] for name in NAMES if name in os.environ}
    # urllib, and with it httpx and websockets, reads the lower-case one where both are set; other programs do not.
    for name, other in (NAMES, NAMES[::-1]):
        os.environ[name] = _with(before.get(name, before.get(other, "")), wanted)


def _with(value: str, wanted: list[str]) -> str:
    if value == "*":  # without exception; as one of several entries, websockets would not understand it
        return value
    entries = [_without_brackets(entry.strip()) for entry in value.split(",") if entry.strip()]
    return ",".join([*entries, *(host for host in wanted if host not in entries)])


def _without_brackets(entry: str) -> str:
    """httpx refuses to work at all where an IPv6 address stands in brackets."""
    return entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry
