"""Devices that Intune manages, with their primary user: `/deviceManagement/managedDevices`."""

from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json
from tasks.entra.client import GraphClient

SELECT = (
    "id,deviceName,userId,userPrincipalName,emailAddress,userDisplayName,azureADDeviceId,serialNumber,"
    "managedDeviceOwnerType,operatingSystem,osVersion,lastSyncDateTime,enrolledDateTime,complianceState"
)


def pull_managed_devices(client: GraphClient) -> Parsed:
    """Source `graph-managed-devices`: every managed device, or an exception."""
    return graph_json.managed_devices(client.listing(f"/deviceManagement/managedDevices?$select={SELECT}&$top=999"))
