"""The clouds that Microsoft runs apart from each other, each with hosts of its own.

Source: Microsoft Graph documentation, concepts/deployments.md (national cloud deployments).
"""

from typing import NamedTuple


class Place(NamedTuple):
    """Where a cloud issues tokens, where it answers, and where people look at it."""

    login: str
    graph: str
    console: str


CLOUDS = {
    "global": Place("https://login.microsoftonline.com", "https://graph.microsoft.com", "https://entra.microsoft.com"),
    "us_gov": Place("https://login.microsoftonline.us", "https://graph.microsoft.us", "https://entra.microsoft.us"),
    "us_dod": Place("https://login.microsoftonline.us", "https://dod-graph.microsoft.us", "https://entra.microsoft.us"),
    "china": Place(
        "https://login.partner.microsoftonline.cn",
        "https://microsoftgraph.chinacloudapi.cn",
        "https://entra.microsoftonline.cn",
    ),
}
