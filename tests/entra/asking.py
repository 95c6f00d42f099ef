"""Connectors for the loopback Graph, and small directories to pull."""

import threading
from typing import Any

from tasks.directory.model import Parsed
from tasks.entra.connector import EntraConnector
from tasks.entra.pull import pull
from tests.entra.graph import CLIENT, DIRECTORY, SECRET, Graph, Record


def connector_of(graph: Graph, **changes: Any) -> EntraConnector:
    values = {"directory_id": DIRECTORY, "client_id": CLIENT, "client_secret": SECRET}
    return EntraConnector.model_validate(values | {"base_url": graph.url, "allow_other_host": True} | changes)


def pulled(graph: Graph, **changes: Any) -> dict[str, Parsed]:
    """What a pull brought, by source."""
    return {parsed.source: parsed for parsed in pull(connector_of(graph, **changes), threading.Event())}


def guid(number: int, kind: int = 0) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def user(number: int, **more: Any) -> Record:
    address = f"user{number}@contoso.example"
    return {
        "id": guid(number),
        "userPrincipalName": address,
        "mail": address,
        "displayName": f"User {number}",
        "proxyAddresses": [f"SMTP:{address}", f"smtp:alias{number}@contoso.example"],
        "department": f"Department {number}",
        "accountEnabled": True,
        "userType": "Member",
    } | more


def group(number: int, **more: Any) -> Record:
    address = f"group{number}@contoso.example"
    return {
        "id": guid(number, 1),
        "displayName": f"Group {number}",
        "mail": address,
        "mailEnabled": True,
        "proxyAddresses": [f"SMTP:{address}"],
    } | more


def member(number: int) -> Record:
    return {"@odata.type": "#microsoft.graph.user", "id": guid(number)}


def device(number: int, users: int = 1, **more: Any) -> Record:
    """A device with so many registered users, the first of whom is its owner."""
    people = [{"@odata.type": "#microsoft.graph.user", "id": guid(place)} for place in range(1, users + 1)]
    return {
        "id": guid(number, 2),
        "deviceId": guid(number, 3),
        "displayName": f"PC-{number}",
        "operatingSystem": "Windows",
        "registeredUsers": people,
        "registeredOwners": people[:1],
    } | more


def managed(number: int, **more: Any) -> Record:
    return {
        "id": guid(number, 4),
        "deviceName": f"PC-{number}",
        "azureADDeviceId": guid(number, 3),
        "userId": guid(1),
        "userPrincipalName": "user1@contoso.example",
        "operatingSystem": "Windows",
        "complianceState": "compliant",
    } | more
