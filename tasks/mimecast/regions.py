"""API hosts and consoles of Mimecast's regions, and which hosts are Mimecast's."""

import re
from typing import Literal

import httpx

Region = Literal[
    "global", "uk", "us", "eu", "de", "usb", "ca", "za", "au", "je", "jer", "uspcom", "sandbox"
]  # fmt: skip

HOSTS: dict[str, dict[str, str]] = {
    "2.0": {
        "global": "https://api.services.mimecast.com",
        "uk": "https://uk-api.services.mimecast.com",
        "us": "https://us-api.services.mimecast.com",
    },
    "1.0": {
        "eu": "https://eu-api.mimecast.com",
        "de": "https://de-api.mimecast.com",
        "us": "https://us-api.mimecast.com",
        "usb": "https://usb-api.mimecast.com",
        "ca": "https://ca-api.mimecast.com",
        "za": "https://za-api.mimecast.com",
        "au": "https://au-api.mimecast.com",
        "je": "https://je-api.mimecast.com",  # offshore; sources differ between je- and jer-
        "jer": "https://jer-api.mimecast.com",
        "uspcom": "https://uspcom-api.mimecast-pscom-us.com",
        "sandbox": "https://sandbox-api.mimecast.com",
    },
}
VENDOR_DOMAINS = (".mimecast.com", ".mimecast-pscom-us.com")
CONSOLES = {"eu": "eu", "uk": "eu", "us": "us", "za": "za", "au": "au", "je": "jer", "jer": "jer"}
VENDOR_PATTERN = rf"^https://[^\s/?#@]+({'|'.join(map(re.escape, VENDOR_DOMAINS))})/?$"
"""The same rule as a pattern for the form in the UI."""


def is_vendor_host(address: str) -> bool:
    """Whether it is an https address of Mimecast."""
    url = httpx.URL(address)
    return url.scheme == "https" and url.host.endswith(VENDOR_DOMAINS)


def console_of(region: str | None) -> str:
    """The dashboard of a region's console; if the region is unknown, the common login page."""
    site = CONSOLES.get(region or "")
    if site is None:
        return "https://login.mimecast.com/u/login/?gta=administration"
    return f"https://login-{site}.mimecast.com/administration/app/#/administration-dashboard"
