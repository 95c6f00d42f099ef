"""A Mimecast account as a connector: address, credentials of either API generation, page size."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import httpx
from pydantic import Field, SecretStr, model_validator

from tasks.connectors.address_fields import BaseUrl, SendableSecret, SendableText, check_host
from tasks.connectors.form_schema import missing_keys_error, require_filled
from tasks.mimecast.api_1_fields import API_1_CREDENTIALS, Api1Fields
from tasks.mimecast.regions import HOSTS, VENDOR_PATTERN, Region, console_of, is_vendor_host

CREDENTIALS = {"2.0": ("client_id", "client_secret"), "1.0": API_1_CREDENTIALS}
_HOST = r"https?://[^\s/?#@]+/?"


class MimecastConnector(Api1Fields):
    """One Mimecast account: where its API is and the keys that read its attachment-protection logs."""

    product: ClassVar[str] = "mimecast"
    vendor: ClassVar[str] = "Mimecast"
    credentials: ClassVar[Mapping[str, tuple[str, ...]]] = CREDENTIALS
    address_fields: ClassVar[tuple[str, ...]] = ("api", "region", "base_url", "allow_other_host")
    _block_type_name: ClassVar[str | None] = "Mimecast Connector"
    _block_type_slug: ClassVar[str | None] = "mimecast-connector"
    _description: ClassVar[str | None] = (
        "A Mimecast account whose attachment-protection logs are fetched. Needs keys with the permission "
        "Monitoring | Attachment Protection | Read."
    )

    api: Literal["2.0", "1.0"] = Field(
        default="2.0",
        title="API generation",
        description="2.0 has a client id and a client secret, 1.0 has four keys: fill in those of one generation and "
        "leave the others empty. New applications can only be 2.0.",
    )
    region: Region = Field(
        default="global",
        title="Region",
        description="API 2.0: global (right for every account), uk or us (fixed location). "
        "API 1.0: the region of the account, as in the address of its login page; not global, not uk.",
    )
    base_url: BaseUrl = Field(
        default="",
        title="Base URL",
        description="Only if the API has another address than the regions, for example https://gateway.example.com. "
        "It overrides the region.",
        json_schema_extra={"pattern": f"^({_HOST})?$"},
    )
    allow_other_host: bool = Field(
        default=False,
        title="Allow a host that is not Mimecast's",
        description="Required for a simulator or a gateway of your own: the keys are sent to the base URL.",
    )
    client_id: SendableText = Field(
        default="", title="Client id (API 2.0)", description="For API 2.0 only: of the API 2.0 application."
    )
    client_secret: SendableSecret = Field(
        default=SecretStr(""),
        title="Client secret (API 2.0)",
        description="For API 2.0 only: shown once, when the application is created.",
    )
    page_size: int = Field(
        default=500,
        ge=1,
        le=500,
        title="Page size",
        description="Records per request. 500 is the most that is known to work; choose less only if Mimecast asks.",
    )

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        elsewhere = {"required": ["base_url"], "properties": {"base_url": {"not": {"pattern": f"^$|{VENDOR_PATTERN}"}}}}
        allowed = {"properties": {"allow_other_host": {"const": True}}}
        found: list[dict[str, Any]] = [{"if": elsewhere, "then": allowed}]
        for api, hosts in HOSTS.items():
            chosen = {"properties": {"api": {"const": api}}}
            region = {"properties": {"region": {"enum": list(hosts)}}}
            found.append({"if": chosen, "then": require_filled(*CREDENTIALS[api])})
            found.append({"if": chosen | {"not": require_filled("base_url")}, "then": region})
        return found

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.base_url and self.region not in HOSTS[self.api]:
            raise ValueError(
                f"API {self.api} has no region {self.region}; choose one of {', '.join(HOSTS[self.api])}, or enter a "
                "base URL"
            )
        check_host(self, allowed=self.allow_other_host)
        if missing := [name for name in CREDENTIALS[self.api] if not _shown(getattr(self, name))]:
            raise missing_keys_error(f"{', '.join(self.titles()[name] for name in missing)} must be filled in")
        return self

    @property
    def url(self) -> str:
        """Scheme and host, without a slash at the end."""
        return self.base_url or HOSTS[self.api][self.region]

    @property
    def place(self) -> str:
        return httpx.URL(self.base_url).host if self.base_url else self.region

    def is_vendor_host(self) -> bool:
        """Whether the keys are sent to a host of Mimecast, over https."""
        return is_vendor_host(self.url)

    def console_url(self) -> str:
        # There is no documented address of a detection or of their list; the dashboard is the nearest.
        return console_of(None if self.base_url else self.region)

    def realm(self) -> str:
        return "mimecast" if self.is_vendor_host() else self.url

    def key_identity(self) -> str:
        parts = [self.client_id] if self.api == "2.0" else [self.application_id, _shown(self.access_key)]
        return hashlib.sha256("\n".join([self.api, *parts]).encode()).hexdigest()

    def rotated(self, **new_credentials: Any) -> Self:
        api = new_credentials.get("api") or _generation(new_credentials) or self.api
        if api == self.api:
            return super().rotated(**new_credentials)
        address = {"api": api, "base_url": "" if self.is_vendor_host() else self.base_url}
        region = {"region": "global"} if api == "2.0" else {}
        return super().rotated(**address | region | new_credentials)


def _shown(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _generation(credentials: dict[str, Any]) -> str | None:
    for api, names in CREDENTIALS.items():
        if any(credentials.get(name) for name in names):
            return api
    return None
