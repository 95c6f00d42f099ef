"""Addresses of this machine itself."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether a host as it stands in a URL, without brackets, can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
