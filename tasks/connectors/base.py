"""The base class of every product's connector.

A connector is a Prefect block, so the same one is edited in the Prefect UI and from the terminal.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from tasks.connectors.form_schema import KEYS_MISSING, arrange_form
from tasks.errors import AlertsError, ConnectorRefused, KeyExpired
from tasks.field_errors import MOMENT, error_messages

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

AUTOMATIC = " (set automatically)"  # at the end of the titles of fields that people do not fill in

_FORMS: dict[Any, dict[str, Any]] = {}


class Connector(Block):
    """The fields that every product shares. A product's own class adds address and credentials."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,  # the input may be a secret
        str_strip_whitespace=True,
    )
    product: ClassVar[str]  # also the name of the product's room in tasks/ and of its flow
    vendor: ClassVar[str]  # the vendor's name in messages
    credentials: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # generation of keys: the fields that hold them
    address_fields: ClassVar[tuple[str, ...]] = ()  # where the keys are valid
    always_needed: ClassVar[tuple[str, ...]] = ()  # fields without a default that must be filled in

    _saved_as: str | None = PrivateAttr(default=None)

    tenant: str = Field(
        default="default",
        title="Tenant",
        description="The organisation this account belongs to, in lower-case letters, digits, - and _. Alerts, people "
        "and devices of different tenants never mix. With one organisation leave it at default.",
        json_schema_extra={"pattern": f"^{TENANT.pattern}$"},
    )
    key_expires_at: datetime | None = Field(
        default=None,
        title="Keys expire at",
        description="When these keys expire, if you know it: a warning starts 14 days before.",
    )
    account_code: str | None = Field(
        default=None,
        title="Account code (set automatically)",
        description="The account the keys belong to, found by the connection test.",
    )
    tested_at: datetime | None = Field(
        default=None,
        title="Tested at (set automatically)",
        description="When the connection test last passed. Polling begins after that.",
    )
    connector_id: UUID | None = Field(
        default=None,
        title="Connector id (set automatically)",
        description="Never changes: all data of this connector carries it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, values: Any) -> Any:
        if isinstance(values, dict):  # the form in the Prefect UI sends null for a cleared field
            return {name: value for name, value in values.items() if value is not None}
        return values

    @field_validator("tenant")
    @classmethod
    def _slug(cls, tenant: str) -> str:
        if not TENANT.fullmatch(tenant):
            raise ValueError("must be lower-case letters, digits, - and _, and begin with a letter or digit")
        return tenant

    @field_validator("key_expires_at", mode="before")
    @classmethod
    def _no_year(cls, moment: Any) -> Any:
        if isinstance(moment, str) and moment.isdecimal():  # pydantic would count seconds
            raise ValueError(MOMENT)
        return moment

    @field_validator("key_expires_at")
    @classmethod
    def _zone(cls, moment: datetime | None) -> datetime | None:
        if moment is None or moment.tzinfo:
            return moment
        return moment.replace(tzinfo=UTC)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The form: address and credentials, shared fields, rarely needed ones, and those set automatically."""
        key = (cls, args, *kwargs.items())
        if key not in _FORMS:  # one save calls this fifty times
            form = super().model_json_schema(*args, **kwargs)
            arrange_form(form, cls, cls.always_needed)
            form["allOf"] = cls.rules()
            _FORMS[key] = form
        return deepcopy(_FORMS[key])

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """JSON Schema rules that span several fields; the form in the UI checks them on save, and all must hold.

        They are no guarantee: the V2 UI of Prefect 3.8.8 sends the values in place of the schema and checks nothing.
        The validators of the class run whenever a connector is loaded.
        """
        return []

    @classmethod
    def all_credentials(cls) -> tuple[str, ...]:
        """The fields that hold keys, of all generations."""
        return tuple(name for names in cls.credentials.values() for name in names)

    @classmethod
    def titles(cls) -> dict[str, str]:
        """The titles of the fields, without the hints in parentheses for whoever fills in the form."""
        return {name: (info.title or name).removesuffix(AUTOMATIC) for name, info in cls.model_fields.items()}

    @property
    def saved_as(self) -> str | None:
        """The name under which it was loaded or saved; None for a connector that is not saved yet."""
        return self._saved_as

    @saved_as.setter
    def saved_as(self, name: str | None) -> None:
        self._saved_as = name

    def rotation_hint(self, keys: Literal["it", "them"]) -> str:
        """How to replace the keys of a saved connector, to end a message with; empty for one that is not saved."""
        if (name := self.saved_as) is None:
            return ""
        return (
            f" Enter {keys} with `attachment-alerts connectors rotate {name}`, or in the Prefect UI (Blocks, {name}, "
            "Edit), then run the connection test."
        )

    def with_rotation_hint(self, error: AlertsError, keys: Literal["it", "them"]) -> AlertsError:
        """The error of a request; for expired keys, with how to replace them."""
        return KeyExpired(f"{error}{self.rotation_hint(keys)}") if isinstance(error, KeyExpired) else error

    @property
    def every(self) -> timedelta:
        """The polling interval: once a day unless the product's class overrides it."""
        return timedelta(days=1)

    @property
    def first_look_back(self) -> timedelta:
        """How far back the first poll goes: one interval for products without history."""
        return self.every

    @property
    def link_template(self) -> str:
        """The template of the link to a detection, or to the console."""
        return self.console_url()

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the account is hosted: a region, a cloud, a host."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Scheme and host of the API, without a slash at the end."""

    @abstractmethod
    def is_vendor_host(self) -> bool:
        """Whether the keys are sent to hosts of the vendor only."""

    @abstractmethod
    def console_url(self) -> str:
        """The product's console for this account."""

    @abstractmethod
    def realm(self) -> str:
        """The scope in which account codes and keys are unique; they are compared within one realm only."""

    @abstractmethod
    def key_identity(self) -> str:
        """Identifies the keys, without any secret in clear text."""

    def rotated(self, **new_credentials: Any) -> Self:
        """An unsaved copy with these credentials and no others. Raises ConnectorRefused."""
        credentials = self.all_credentials()
        if unknown := new_credentials.keys() - {*credentials, *self.address_fields, "key_expires_at"}:
            raise TypeError(f"not credentials: {sorted(unknown)}")
        unchanged = {name: getattr(self, name) for name in type(self).model_fields if name not in credentials}
        # The expiry date was that of the old keys.
        return self.replace_values(unchanged | {"key_expires_at": None} | new_credentials)

    def replace_values(self, values: dict[str, Any]) -> Self:
        """An unsaved copy with these values in all its fields. Raises ConnectorRefused."""
        copy = build_connector(type(self), values)
        copy.saved_as = self.saved_as
        return copy

    def same_account(self, other: "Connector") -> bool:
        """Whether both pull from the same account, judged by account codes and keys."""
        if self.product != other.product or self.realm() != other.realm():
            return False
        return self.key_identity() == other.key_identity() or (
            self.account_code is not None and self.account_code == other.account_code
        )


C = TypeVar("C", bound=Connector)


def build_connector(cls: type[C], values: dict[str, Any]) -> C:
    """Raises ConnectorRefused with a sentence per invalid field, without its value."""
    try:
        return cls.model_validate(values)
    except ValidationError as invalid:
        raise ConnectorRefused(error_messages(invalid, cls.titles())) from None  # the cause would hold the values


def check_values(cls: type[Connector], values: dict[str, Any]) -> None:
    """Raises ConnectorRefused for invalid values; missing keys are allowed and requested afterwards."""
    try:
        cls.model_validate(values)
    except ValidationError as invalid:
        if problems := error_messages(invalid, cls.titles(), but=KEYS_MISSING):
            raise ConnectorRefused(problems) from None
