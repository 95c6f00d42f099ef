"""Properties of JSON records by the names of `directory_headers.csv` → those of Microsoft Graph, in lower case."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tasks.directory.formats.header_aliases import HeaderAliases, header_key

Record = dict[str, Any]

_PEOPLE = {
    "entra_id": "id", "upn": "userprincipalname", "mail": "mail", "proxies": "proxyaddresses", "other": "othermails",
    "display_name": "displayname", "given_name": "givenname", "surname": "surname", "department": "department",
    "job_title": "jobtitle", "user_type": "usertype", "account_enabled": "accountenabled",
    "employee_id": "employeeid", "onprem_sid": "onpremisessecurityidentifier",
    "onprem_immutable_id": "onpremisesimmutableid", "onprem_dn": "onpremisesdistinguishedname",
    "onprem_domain": "onpremisesdomainname", "onprem_sam": "onpremisessamaccountname",
    "onprem_upn": "onpremisesuserprincipalname", "deleted": "deleteddatetime",
}  # fmt: skip
_DEVICES = {
    "device_name": "displayname", "os": "operatingsystem", "os_version": "operatingsystemversion",
    "is_compliant": "iscompliant", "is_managed": "ismanaged", "entra_device_id": "deviceid", "entra_object_id": "id",
    "last_seen": "approximatelastsignindatetime",
}  # fmt: skip
_MANAGED_DEVICES = {
    "intune_id": "id", "device_name": "devicename", "entra_device_id": "azureaddeviceid", "os": "operatingsystem",
    "os_version": "osversion", "serial": "serialnumber", "last_seen": "lastsyncdatetime",
    "is_compliant": "compliancestate", "user_id": "userid", "user_upn": "userprincipalname",
    "user_mail": "emailaddress", "user_name": "userdisplayname", "enrolled_by_upn": "enrolledbyuserprincipalname",
}  # fmt: skip
FAMILIES = {
    "user": ("entra-users", _PEOPLE),
    "orgcontact": ("entra-users", _PEOPLE),
    "group": ("entra-users", _PEOPLE),
    "device": ("entra-devices", _DEVICES),
    "manageddevice": ("intune-devices", _MANAGED_DEVICES),
}
"""Kind of record → its family of names, and field → property."""
_LISTS = ("proxyaddresses", "othermails")
_DROPPED = ""


class JsonNames(NamedTuple):
    """The names of one kind of record."""

    fields: Mapping[str, str]
    """name → field, the preferred name of a field first"""
    properties: Mapping[str, str]
    """field → property"""
    targets: dict[str, str]
    """name → property, of names that occurred"""

    def apply(self, record: Record) -> Record:
        """With Graph's names; a property that the site ignores is left out."""
        result: Record = {}
        renamed: dict[str, list[tuple[str, Any]]] = {}
        for name, value in record.items():
            target = self.targets.get(name)
            if target is None:
                target = self.targets[name] = self._target(name)
            if target == name.lower():
                result[target] = value
            elif target:
                renamed.setdefault(target, []).append((name, value))
        for target, values in renamed.items():
            result[target] = self._choose(target, result.get(target), values)
        return result

    def _target(self, name: str) -> str:
        if field := self.fields.get(header_key(name)):
            return self.properties.get(field, name.lower())
        return _DROPPED if name.lower() in self.properties.values() else name.lower()

    def _choose(self, target: str, value: Any, others: list[tuple[str, Any]]) -> Any:
        """All values of a list; else the first one, Graph's own name before others."""
        order = {name: place for place, name in enumerate(self.fields)}
        others = sorted(others, key=lambda pair: order[header_key(pair[0])])
        values = [item for item in (value, *(other for _, other in others)) if item not in (None, "", [])]
        if target in _LISTS and len(values) > 1:
            return [text for item in values for text in (item if isinstance(item, list) else [item])]
        return values[0] if values else None


def names_of(kind: str, headers: HeaderAliases) -> JsonNames:
    family, properties = FAMILIES[kind]
    return JsonNames(headers.families[family], properties, {})
