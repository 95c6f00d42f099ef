"""A directory of Microsoft Entra ID as a connector: cloud, application, and its secret or certificate."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator

from tasks.connectors.address_fields import BaseUrl, SendableSecret, check_host
from tasks.connectors.base import Connector
from tasks.connectors.form_schema import missing_keys_error, require_filled
from tasks.entra.certificate import ClientCertificate, read_certificate
from tasks.entra.clouds import CLOUDS

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class EntraConnector(Connector):
    """One directory and the application that may read it."""

    product: ClassVar[str] = "entra"
    vendor: ClassVar[str] = "Microsoft"
    credentials: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "secret": ("client_secret",),
        "certificate": ("client_certificate",),
    }
    address_fields: ClassVar[tuple[str, ...]] = ("cloud", "directory_id", "client_id", "base_url", "allow_other_host")
    always_needed: ClassVar[tuple[str, ...]] = ("directory_id", "client_id")
    _block_type_name: ClassVar[str | None] = "Entra Connector"
    _block_type_slug: ClassVar[str | None] = "entra-connector"
    _description: ClassVar[str | None] = (
        "A Microsoft Entra directory whose users, groups and devices are read from Microsoft Graph. Needs an "
        "application with the permission User.Read.All, and GroupMember.Read.All, Device.Read.All and "
        "DeviceManagementManagedDevices.Read.All for groups and devices."
    )

    cloud: Literal["global", "us_gov", "us_dod", "china"] = Field(
        default="global",
        title="Cloud",
        description="The Microsoft cloud of the directory: global for almost everyone, including GCC; "
        "us_gov (GCC High), us_dod or china.",
    )
    directory_id: str = Field(
        default="",
        title="Directory (tenant) id",
        description="Overview page of the app registration in the Entra admin center.",
    )
    client_id: str = Field(
        default="",
        title="Application (client) id",
        description="Overview page of the app registration, beside the directory id.",
    )
    client_secret: SendableSecret = Field(
        default=SecretStr(""),
        title="Client secret",
        description="The column Value under Certificates & secrets, shown once. Not the Secret ID.",
    )
    client_certificate: SecretStr = Field(
        default=SecretStr(""),
        title="Certificate with private key",
        description="Instead of a secret: PEM text of the private key and of the certificate that was uploaded "
        "under Certificates & secrets, one after the other.",
    )
    base_url: BaseUrl = Field(
        default="",
        title="Base URL",
        description="Only for a simulator or a gateway of your own, for example https://gateway.example.com. It "
        "overrides the cloud.",
    )
    allow_other_host: bool = Field(
        default=False,
        title="Allow a host that is not Microsoft's",
        description="Required with a base URL: the keys are sent to that host.",
    )

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        return [
            {"if": {"not": require_filled("client_certificate")}, "then": require_filled("client_secret")},
            {"if": require_filled("base_url"), "then": {"properties": {"allow_other_host": {"const": True}}}},
        ]

    @field_validator("directory_id", "client_id")
    @classmethod
    def _guid(cls, value: str) -> str:
        if value and not _GUID.fullmatch(value.lower()):
            raise ValueError(
                "must look like 01234567-89ab-cdef-0123-456789abcdef; copy it from the app's Overview page"
            )
        return value.lower()

    @field_validator("client_secret")
    @classmethod
    def _secret(cls, value: SecretStr) -> SecretStr:
        if _GUID.fullmatch(value.get_secret_value().lower()):
            raise ValueError("is the Secret ID; the secret itself is in the column Value beside it")
        return value

    @field_validator("client_certificate")
    @classmethod
    def _pem(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().strip():
            read_certificate(value.get_secret_value())
            return value
        return SecretStr("")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if missing := [name for name in self.always_needed if not getattr(self, name)]:
            raise ValueError(f"{' and '.join(self.titles()[name] for name in missing)} must be filled in")
        check_host(self, allowed=self.allow_other_host)
        given = [name for name in self.all_credentials() if getattr(self, name).get_secret_value()]
        if len(given) != 1:
            one_of = " or ".join(self.titles()[name] for name in self.all_credentials())
            raise missing_keys_error(f"{one_of} must be filled in, not both")
        if certificate := self.certificate():
            self.key_expires_at = certificate.expires_at  # whatever was entered
        return self

    @property
    def url(self) -> str:
        """Scheme and host of Microsoft Graph, without a slash at the end."""
        return self.base_url or CLOUDS[self.cloud].graph

    @property
    def place(self) -> str:
        return httpx.URL(self.base_url).host if self.base_url else self.cloud

    @property
    def login_url(self) -> str:
        """Scheme and host that issues tokens."""
        return self.base_url or CLOUDS[self.cloud].login

    @property
    def token_path(self) -> str:
        return f"/{self.directory_id}/oauth2/v2.0/token"

    @property
    def authority(self) -> str:
        """The issuer of the tokens by Microsoft's own address, also behind a gateway."""
        return f"{CLOUDS[self.cloud].login}/{self.directory_id}"

    @property
    def token_endpoint(self) -> str:
        """The audience of a signed assertion: Microsoft's own address, also behind a gateway."""
        return CLOUDS[self.cloud].login + self.token_path

    @property
    def scope(self) -> str:
        """All permissions that the application was granted for Graph."""
        return f"{CLOUDS[self.cloud].graph}/.default"

    def certificate(self) -> ClientCertificate | None:
        """Signs the token requests; None for a connector with a secret."""
        pem = self.client_certificate.get_secret_value()
        return read_certificate(pem) if pem else None

    def is_vendor_host(self) -> bool:
        """Whether the keys are sent to Microsoft's hosts only."""
        return not self.base_url

    def console_url(self) -> str:
        return CLOUDS[self.cloud].console

    def realm(self) -> str:
        return "entra" if self.is_vendor_host() else self.url

    def key_identity(self) -> str:
        # Two applications of one directory see the same people: to us they are one account.
        return hashlib.sha256(f"{self.cloud}\n{self.directory_id}".encode()).hexdigest()
