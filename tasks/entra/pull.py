"""The whole pull of one directory: users, groups, devices, managed devices."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from tasks.directory.model import Parsed
from tasks.entra.client import GraphClient
from tasks.entra.connector import EntraConnector
from tasks.entra.devices import pull_devices, pull_managed_devices
from tasks.entra.groups import pull_groups
from tasks.entra.users import pull_users
from tasks.errors import PermissionMissing, ServiceError
from tasks.http.retry import STANDARD, RetryPolicy

log = logging.getLogger("attachment_alerts.entra")


class Stream(NamedTuple):
    """One listing of the directory and what it takes to read it."""

    name: str
    permission: str
    """the least one, an application permission of Microsoft Graph"""
    broader: tuple[str, ...]
    """permissions that include it"""
    probe: str
    """the smallest request that shows whether it may be read"""
    pull: Callable[[GraphClient], Parsed]


_DIRECTORY = ("Directory.Read.All", "Directory.ReadWrite.All")
USERS = Stream(
    "users", "User.Read.All", ("User.ReadWrite.All", *_DIRECTORY), "/users?$select=id,proxyAddresses&$top=1", pull_users
)
OPTIONAL = (
    Stream(
        "groups",
        "GroupMember.Read.All",
        ("Group.Read.All", "GroupMember.ReadWrite.All", "Group.ReadWrite.All", *_DIRECTORY),
        "/groups?$filter=mailEnabled eq true&$select=id,proxyAddresses&$top=1",
        pull_groups,
    ),
    Stream(
        "devices",
        "Device.Read.All",
        ("Device.ReadWrite.All", *_DIRECTORY),
        "/devices?$select=id&$expand=registeredOwners($select=id)&$top=1",
        pull_devices,
    ),
    Stream(
        "managed devices",
        "DeviceManagementManagedDevices.Read.All",
        ("DeviceManagementManagedDevices.ReadWrite.All",),
        "/deviceManagement/managedDevices?$select=id&$top=1",
        pull_managed_devices,
    ),
)
STREAMS = (USERS, *OPTIONAL)


def pull(connector: EntraConnector, stop: threading.Event, *, policy: RetryPolicy = STANDARD) -> list[Parsed]:
    """Everything the application may read, one snapshot per source; users always, or an exception.

    A stream that may not be read is left out, so that nothing of it counts as gone, and the users' warnings name the
    permission. Any other trouble ends the pull: raises PermissionMissing (users), CredentialsRefused, Unreachable,
    ServiceError, Stopped.
    """
    began = datetime.now(UTC)
    with GraphClient(connector, stop=stop, policy=policy) as client:
        try:
            users = pull_users(client)
        except PermissionMissing as missing:
            raise PermissionMissing(f"{missing} {needs(USERS)}") from missing
        others, left_out = [], []
        for stream in OPTIONAL:
            parsed = _unless_refused(stream, client)
            if isinstance(parsed, Parsed):
                others.append(parsed)
            else:
                left_out.append(parsed)
    users = replace(users, warnings=(*users.warnings, *left_out))
    return [replace(parsed, snapshot_at=began) for parsed in (users, *others)]


def needs(stream: Stream) -> str:
    """What to do where the stream may not be read."""
    return (
        f"To read {stream.name}, the application needs {stream.permission}: Entra admin center > App registrations > "
        "your application > API permissions > Add a permission > Microsoft Graph > Application permissions, then "
        "Grant admin consent."
    )


def _unless_refused(stream: Stream, client: GraphClient) -> Parsed | str:
    try:
        return stream.pull(client)
    except PermissionMissing as missing:
        why: Exception = missing
    except ServiceError as refused:
        if type(refused) is not ServiceError:  # throttled, cut short, not understood: the pull is not complete
            raise
        why = refused
    warning = f"The {stream.name} were left out. {why} {needs(stream)}"
    log.warning("%s", warning)
    return warning
