"""What every product's connector has: its fields, and what the rest of the project asks of it.

A connector is a Prefect Block, so the same one is edited in the Prefect UI and from the terminal.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from tasks.connectors.form_schema import KEYS_MISSING, arrange
from tasks.errors import AlertsError, ConnectorRefused, KeyExpired
from tasks.field_errors import MOMENT, error_messages

TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

_FORMS: dict[Any, dict[str, Any]] = {}


class Connector(Block):
    """What the connector of every product has. A product's own class adds address and credentials."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,  # the input may be a secret
        str_strip_whitespace=True,
    )
    product: ClassVar[str]  # also the name of the product's room in tasks/ and of its flow
    vendor: ClassVar[str]  # as people know it
    credentials: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # by the kind of keys: the fields that hold them
    address_fields: ClassVar[tuple[str, ...]] = ()  # where the keys are good
    always_needed: ClassVar[tuple[str, ...]] = ()  # fields without a default that nobody can leave empty

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
        description="If you know when these keys end, enter it: a warning starts 14 days before.",
    )
    account_code: str | None = Field(
        default=None,
        title="Account code: not for you to fill in",
        description="Which account the keys belong to; the connection test finds out.",
    )
    tested_at: datetime | None = Field(
        default=None,
        title="Tested at: not for you to fill in",
        description="When the connection test last passed; polling begins after it.",
    )
    connector_id: UUID | None = Field(
        default=None,
        title="Connector id: not for you to fill in",
        description="Given by itself and never changed: all data of this connector carries it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, values: Any) -> Any:
        if isinstance(values, dict):  # the form in the Prefect UI sends null for what was cleared
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
        """The form: address and credentials, what products share, what is seldom needed, what we keep ourselves."""
        key = (cls, args, *kwargs.items())
        if key not in _FORMS:  # one save asks for it fifty times
            form = super().model_json_schema(*args, **kwargs)
            arrange(form, cls, cls.always_needed)
            form["allOf"] = cls.rules()
            _FORMS[key] = form
        return deepcopy(_FORMS[key])

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """What the form in the UI checks on save beyond single fields: JSON Schema, of which each part must hold.

        Only a help: the V2 UI of Prefect 3.8.8 sends the values in the schema's place, and so checks nothing. Our own
        validators see a connector when it is loaded, by the connection test at the latest, and speak in sentences.
        """
        return []

    @classmethod
    def all_credentials(cls) -> tuple[str, ...]:
        """The fields that hold keys, of whatever kind."""
        return tuple(name for names in cls.credentials.values() for name in names)

    @classmethod
    def titles(cls) -> dict[str, str]:
        """What the form calls its fields; behind a colon a title speaks to whoever fills it in."""
        return {name: (info.title or name).partition(":")[0] for name, info in cls.model_fields.items()}

    def by_rotation(self, keys: Literal["it", "them"]) -> str:
        """How a saved connector gets other keys: the end of a next step. One that is yet to be saved is typed anew."""
        if (name := self._block_document_name) is None:
            return ""
        return (
            f" Give {keys} with `attachment-alerts connectors rotate {name}`, or in the Prefect UI (Blocks, {name}, "
            "Edit), and run the connection test then."
        )

    def told(self, error: AlertsError, keys: Literal["it", "them"]) -> AlertsError:
        """An error of a request; of expired keys with the way to give new ones, for here the name is known."""
        return KeyExpired(f"{error}{self.by_rotation(keys)}") if isinstance(error, KeyExpired) else error

    @property
    def every(self) -> timedelta:
        """How often it is polled: what changes slowly, once a day."""
        return timedelta(days=1)

    @property
    def first_look_back(self) -> timedelta:
        """How far back the first poll goes; what has no past is counted from its last turn on."""
        return self.every

    @property
    def link_template(self) -> str:
        """The template of the link to a detection, or of the nearest page there is."""
        return self.console_url()

    @property
    def place(self) -> str:
        """Where the account lives, in the product's own word: a region, a cloud, a host."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Scheme and host of the API, without a slash at the end."""
        raise NotImplementedError

    def is_vendor_host(self) -> bool:
        """Whether the keys go to hosts of the vendor itself."""
        raise NotImplementedError

    def console_url(self) -> str:
        """The product's console for this account."""
        raise NotImplementedError

    def realm(self) -> str:
        """Whose account codes these are; codes and keys are compared within one realm only."""
        raise NotImplementedError

    def key_identity(self) -> str:
        """What of the keys tells accounts apart, without anything secret in clear."""
        raise NotImplementedError

    def rotated(self, **new_credentials: Any) -> Self:
        """A copy with these credentials and no others, not saved; raises ConnectorRefused."""
        credentials = self.all_credentials()
        if unknown := new_credentials.keys() - {*credentials, *self.address_fields, "key_expires_at"}:
            raise TypeError(f"not credentials: {sorted(unknown)}")
        kept = {name: getattr(self, name) for name in type(self).model_fields if name not in credentials}
        return self.again(kept | {"key_expires_at": None} | new_credentials)  # the date was that of the old keys

    def again(self, values: dict[str, Any]) -> Self:
        """The same connector with other values in all its fields, saved under its name when it is saved.

        Raises ConnectorRefused.
        """
        copy = made(type(self), values)
        copy._block_document_id, copy._block_document_name = self._block_document_id, self._block_document_name
        return copy

    def same_account(self, other: "Connector") -> bool:
        """Whether both pull from one account, as far as codes and keys tell."""
        if self.product != other.product or self.realm() != other.realm():
            return False
        return self.key_identity() == other.key_identity() or (
            self.account_code is not None and self.account_code == other.account_code
        )


C = TypeVar("C", bound=Connector)


def made(cls: type[C], values: dict[str, Any]) -> C:
    """A connector of these values.

    Raises ConnectorRefused with a sentence per wrong field, without its value.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as wrong:
        raise ConnectorRefused(error_messages(wrong, cls.titles())) from None  # the cause would hold the values


def refuse_wrong(cls: type[Connector], values: dict[str, Any]) -> None:
    """Raises ConnectorRefused for what is wrong already, before anybody is asked for keys."""
    try:
        cls.model_validate(values)
    except ValidationError as wrong:
        if says := error_messages(wrong, cls.titles(), but=KEYS_MISSING):
            raise ConnectorRefused(says) from None
