"""Requests to this machine never use a proxy: their content would leave the machine unencrypted."""

import ipaddress
import os
from urllib.request import getproxies_environment

import httpx

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
    """Add loopback, and those of `hosts` that are loopback or in an excepted network, to `NO_PROXY`.

    Child processes inherit it. Existing entries stay, written as every client can read them. Without a proxy in the
    environment nothing is added: on macOS, `NO_PROXY` alone would disable the proxies of the system's settings.
    """
    before = {name: os.environ[name] for name in NAMES if name in os.environ}
    has_proxy = bool(getproxies_environment().keys() - {"no"})
    if not has_proxy and not any(before.values()):
        return
    # No client supports networks here, so each address is named.
    exempt = [host.lower() for host in hosts if is_loopback(host) or is_in_exempt_network(host)]
    wanted = [*ALWAYS, *(host for host in dict.fromkeys(exempt) if host not in ALWAYS)] if has_proxy else []
    # urllib, and so httpx and websockets, prefers the lower-case variable; other programs do not.
    for name, other in (NAMES, NAMES[::-1]):
        if not has_proxy and name not in before:
            continue
        os.environ[name] = _with(before.get(name, before.get(other, "")), wanted)


def is_in_exempt_network(host: str) -> bool:
    """Whether a host, written as an address, is in a network that `NO_PROXY` names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    value = os.environ.get(NAMES[0]) or os.environ.get(NAMES[1], "")
    return any(network is not None and address in network for network in map(_network, _entries(value)))


def unreadable_entry() -> tuple[str, str] | None:
    """The variable and the first of its entries that httpx fails on."""
    for name in NAMES:
        for entry in os.environ.get(name, "").split(","):
            if not _is_readable(entry.strip()):
                return name, entry.strip()
    return None


def _with(value: str, wanted: list[str]) -> str:
    entries = [_without_brackets(entry) for entry in _entries(value)]
    if "*" in entries:  # no proxy at all; as one of several entries, websockets would not support it
        return "*"
    # httpx fails on IPv6 networks, and no client compares addresses with them.
    readable = [entry for entry in entries if not isinstance(_network(entry), ipaddress.IPv6Network)]
    return ",".join([*readable, *(host for host in wanted if host not in readable)])


def _entries(value: str) -> list[str]:
    """Some programs separate them by blanks."""
    return value.replace(",", " ").split()


def _without_brackets(entry: str) -> str:
    """httpx fails on an IPv6 address in brackets."""
    return entry[1:-1] if entry.startswith("[") and entry.endswith("]") else entry


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in entry:
        return None
    try:
        return ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _is_readable(entry: str) -> bool:
    """Whether httpx can make a pattern of an entry."""
    if isinstance(_network(entry), ipaddress.IPv6Network):
        return False
    try:
        ipaddress.IPv6Address(entry)
    except ValueError:
        pass
    else:
        return True
    try:
        httpx.URL(entry if "://" in entry else f"all://*{entry}")
    except httpx.InvalidURL:
        return False
    return True
