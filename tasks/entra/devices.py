"""Devices that joined or registered, with their owners and users (`/devices`), and those that Intune manages.

Traps of `$expand` on directory objects (Microsoft Graph known issue 13635; microsoft-graph-docs pull request 21516):
one relation in a request, at most 100 objects in a page whatever `$top` says, and at most 20 related ones, the rest
being cut off silently. So the plain listing says which devices there are, and what an expansion did not bring in
full is asked for one by one.
"""

from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json
from tasks.entra.client import GraphClient
from tasks.entra.response import Record
from tasks.errors import PermissionMissing

SELECT = (
    "id,deviceId,displayName,accountEnabled,operatingSystem,operatingSystemVersion,trustType,profileType,isCompliant,"
    "isManaged,approximateLastSignInDateTime,registrationDateTime,onPremisesSecurityIdentifier,physicalIds"
)
MANAGED = (
    "id,deviceName,userId,userPrincipalName,emailAddress,userDisplayName,azureADDeviceId,serialNumber,"
    "managedDeviceOwnerType,operatingSystem,osVersion,lastSyncDateTime,enrolledDateTime,complianceState"
)
RELATIONS = ("registeredUsers", "registeredOwners")
PERSON = "id"  # who that is, the users tell
EXPANDED_PAGE, EXPANDED_MOST = 100, 20


def pull_devices(client: GraphClient) -> Parsed:
    """Source `graph-devices`: every device with `registeredUsers` and `registeredOwners`, or an exception."""
    devices = {str(record.get("id")): record for record in client.listing(f"/devices?$select={SELECT}&$top=999")}
    for relation in RELATIONS:
        for device_id, people in _related(client, relation, list(devices)).items():
            devices[device_id][relation] = people
    return graph_json.devices(list(devices.values()))


def pull_managed_devices(client: GraphClient) -> Parsed:
    """Source `graph-managed-devices`: every managed device, or an exception."""
    return graph_json.managed_devices(client.listing(f"/deviceManagement/managedDevices?$select={MANAGED}&$top=999"))


def _related(client: GraphClient, relation: str, device_ids: list[str]) -> dict[str, list[Record]]:
    """Who stands in this relation to each of the devices."""
    expanded = client.listing(
        f"/devices?$select=id&$expand={relation}($select={PERSON})&$top={EXPANDED_PAGE}",
    )
    found = {str(record.get("id")): record.get(relation) for record in expanded}
    related = {
        device_id: people
        for device_id in device_ids
        if isinstance(people := found.get(device_id), list) and len(people) < EXPANDED_MOST
    }
    paths = {
        f"/devices/{device_id}/{relation}?$select={PERSON}&$top=999": device_id
        for device_id in device_ids
        if device_id not in related
    }
    for path, people in client.listings(list(paths)):
        if people == "forbidden":
            raise PermissionMissing(f"The application may list devices, but not their {relation}.")
        if people != "gone":  # else deleted since the listing
            related[paths[path]] = people
    return related
