"""Groups that have an address, with everybody who gets their mail: `/groups` and `transitiveMembers`."""

from dataclasses import replace

from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json
from tasks.entra.client import GraphClient
from tasks.entra.response import Record
from tasks.errors import PermissionMissing

SELECT = (
    "id,displayName,mail,mailNickname,proxyAddresses,mailEnabled,securityEnabled,groupTypes,visibility,"
    "onPremisesSecurityIdentifier,onPremisesSamAccountName,onPremisesDomainName"
)
HIDDEN = "HiddenMembership"  # of `visibility`: its members need a permission of their own
HIDDEN_PERMISSION = "Member.Read.Hidden"


def pull_groups(client: GraphClient) -> Parsed:
    """Source `graph-groups`: all mail-enabled groups with their members, nested ones included.

    Groups without an address are left out: no mail reaches them. Members of members come from the service, for a
    nested group without an address is not in the listing.
    """
    listed = client.listing(f"/groups?$filter=mailEnabled eq true&$select={SELECT}&$top=999")
    groups = {_members_of(str(group.get("id"))): group for group in listed}
    complete: list[Record] = []
    hidden = 0
    for path, members in client.listings(list(groups)):
        group = groups[path]
        if members == "gone":  # deleted since the listing
            continue
        if members == "forbidden" and group.get("visibility") != HIDDEN:
            raise PermissionMissing("The application may list groups, but not their members.")
        hidden += members == "forbidden"
        complete.append(group | {"members": [] if members == "forbidden" else members})
    parsed = graph_json.groups(complete)
    return replace(parsed, warnings=(*parsed.warnings, _hidden(hidden))) if hidden else parsed


def _members_of(group_id: str) -> str:
    return f"/groups/{group_id}/transitiveMembers?$select=id&$top=999"


def _hidden(count: int) -> str:
    says = f"{count} groups hide their members, so mail to them matches no people."
    return f"{says} Grant the application {HIDDEN_PERMISSION} to resolve them."
