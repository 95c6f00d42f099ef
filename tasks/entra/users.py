"""People, guests and mailboxes that have an account: `/users`."""

import logging

from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json
from tasks.entra.client import GraphClient
from tasks.entra.response import Record
from tasks.errors import ServiceError

log = logging.getLogger("attachment_alerts.entra")

# Graph returns most of these only if they are selected.
IDENTITY = (
    "id", "userPrincipalName", "mail", "proxyAddresses", "otherMails", "mailNickname", "displayName", "userType",
    "accountEnabled", "identities", "externalUserState", "creationType", "employeeId",
)  # fmt: skip
REST = (
    "givenName", "surname", "department", "jobTitle", "companyName", "onPremisesSamAccountName",
    "onPremisesDomainName", "onPremisesUserPrincipalName", "onPremisesDistinguishedName",
    "onPremisesSecurityIdentifier", "onPremisesImmutableId", "onPremisesSyncEnabled",
    "onPremisesExtensionAttributes", "createdDateTime",
)  # fmt: skip


def pull_users(client: GraphClient) -> Parsed:
    """Source `graph-users`: everybody, or an exception."""
    return graph_json.users(_records(client))


def _records(client: GraphClient) -> list[Record]:
    try:
        return client.listing(_path(*IDENTITY, *REST))
    except ServiceError as refused:
        if type(refused) is not ServiceError:
            raise
        # Long selects have been answered with 400 (cartography, intel/microsoft/entra/users.py).
        log.info("Microsoft Graph refuses the long list of properties; asking for it in two halves. %s", refused)
    rest = {record.get("id"): record for record in client.listing(_path("id", *REST))}
    # Who joined or left between the two readings has one half only; the first is the one that says who there is.
    return [record | rest.get(record.get("id"), {}) for record in client.listing(_path(*IDENTITY))]


def _path(*properties: str) -> str:
    return f"/users?$select={','.join(properties)}&$top=999"
