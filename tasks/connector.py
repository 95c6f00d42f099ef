"""What every product's connector has: the form that is filled in, and what a connection test answers.

A connector is a Prefect Block, so the same one is edited in the Prefect UI and from the terminal.
"""

import inspect
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import UUID

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tasks.errors import ConnectorRefused
from tasks.wrong_values import MOMENT, sentences

LINK_PLACES = ("message_id", "file_sha256", "date")
KEPT_BY_US = ("connector_id", "account_code", "tested_at")  # last in the form: nobody has to fill them
KEYS_MISSING = "keys_missing"
SELDOM = ("page_size", "base_url", "allow_other_host")  # before those: for a gateway, a simulator, a slow line


@dataclass(frozen=True)
class Account:
    """What the service tells about the account; None where the keys may not ask for it."""

    code: str | None = None
    name: str | None = None
    region: str | None = None
    packages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Check:
    """One step of a connection test."""

    name: str
    state: Literal["ok", "warning", "failed", "skipped"]
    says: str
    next_step: str | None = None


_FORMS: dict[Any, dict[str, Any]] = {}


def needed(*names: str) -> dict[str, Any]:
    """A rule that these text fields are filled in."""
    return {"required": list(names), "properties": {name: {"minLength": 1} for name in names}}


def keys_missing(says: str) -> PydanticCustomError:
    """What a form raises that lacks keys and is fine otherwise."""
    return PydanticCustomError(KEYS_MISSING, "{says}", {"says": says})


def _arrange(cls: "type[Connector]", form: dict[str, Any]) -> None:
    """Order, what must be filled in, and what is checked on save."""
    fields: dict[str, dict[str, Any]] = form["properties"]
    lineage = [*enumerate(cls.__mro__)][::-1]
    declared = {name: place for place, each in lineage for name in inspect.get_annotations(each)}
    order = sorted(fields, key=lambda name: (name in KEPT_BY_US, name in SELDOM, declared[name]))
    # A form follows the positions, the page of a saved connector the order of the fields.
    form["properties"] = fields = {name: _plain_field(fields[name]) | {"position": order.index(name)} for name in order}
    for name in KEPT_BY_US:
        fields[name].pop("format", None)  # no calendar where nothing is to be picked
    # The UI calls everything else "(Optional)".
    form["required"] = [name for name in order if "default" in fields[name] or name in cls.always_needed]
    form["allOf"] = cls.rules()


def _plain_field(field: dict[str, Any]) -> dict[str, Any]:
    """One that may be empty as an ordinary field: left empty it is not sent, and nobody has to choose "None" first."""
    filled = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    plain = field | filled[0] if len(filled) == 1 else field
    dropped = {"anyOf"} | ({"default"} if field.get("default") in (None, "") else set())
    return {name: value for name, value in plain.items() if name not in dropped}


class Connector(Block):
    """What the connector of every product has. A product's own class adds address and credentials."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore",
        hide_input_in_errors=True,  # the input may be a secret
        str_strip_whitespace=True,
    )
    product: ClassVar[str]  # also the name of the product's room in tasks/ and of its flow
    always_needed: ClassVar[tuple[str, ...]] = ()  # fields without a default that nobody can leave empty

    tenant: str = Field(
        default="default",
        title="Tenant",
        description="The organisation this account belongs to, in lower-case letters, digits, - and _. Alerts, people "
        "and devices of different tenants never mix. With one organisation leave it at default.",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
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
            _arrange(cls, form)
            _FORMS[key] = form
        return deepcopy(_FORMS[key])

    @classmethod
    def rules(cls) -> list[dict[str, Any]]:
        """What the form in the UI checks on save beyond single fields: JSON Schema, of which each part must hold.

        Only a help: the V2 UI of Prefect 3.8.8 sends the values in the schema's place, and so checks nothing. Our own
        validators see a connector when it is loaded, by the connection test at the latest, and speak in sentences.
        """
        return []

    def by_rotation(self, keys: Literal["it", "them"]) -> str:
        """How a saved connector gets other keys: the end of a next step. One that is yet to be saved is typed anew."""
        name = self._block_document_name
        return f" Give {keys} with `attachment-alerts connectors rotate {name}`." if name else ""

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
        raise NotImplementedError

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


class PolledConnector(Connector):
    """What connectors have that are polled for scans, beside what all have."""

    polling_minutes: Literal[5, 10, 15, 30, 60] = Field(
        default=15, title="Polling frequency (minutes)", description="How often new records are fetched."
    )
    first_look_back_days: int = Field(
        default=7,
        ge=1,
        le=60,
        title="First look-back (days)",
        description="How far back the very first poll goes. Older records are fetched by a backfill.",
    )
    no_verdict: Literal["medium", "low"] = Field(
        default="medium",
        title="Priority of scans without a verdict",
        description="Scans that timed out, failed or say nothing: medium shows them as alerts, low only counts them.",
    )
    detection_details_url: str = Field(
        default="",
        title="Link to detection details",
        description="Web address behind an alert, for example https://siem.example/?hash={file_sha256}; {message_id}, "
        "{file_sha256} and {date} are filled in. Empty: the product's own console.",
    )

    @field_validator("detection_details_url")
    @classmethod
    def _link(cls, template: str) -> str:
        if template and not template.startswith(("https://", "http://")):
            raise ValueError("the link to detection details must begin with https://")
        try:
            parts = [part[1:] for part in Formatter().parse(template) if part[1] is not None]
        except ValueError as wrong:
            raise ValueError("the link to detection details has a single { or }; write {{ or }}") from wrong
        if any(name not in LINK_PLACES or spec or conversion for name, spec, conversion in parts):
            raise ValueError("the link can hold {message_id}, {file_sha256} and {date}, nothing else in braces")
        return template

    @property
    def every(self) -> timedelta:
        return timedelta(minutes=self.polling_minutes)

    @property
    def first_look_back(self) -> timedelta:
        return timedelta(days=self.first_look_back_days)

    @property
    def link_template(self) -> str:
        return self.detection_details_url or super().link_template


C = TypeVar("C", bound=Connector)


def made(cls: type[C], values: dict[str, Any]) -> C:
    """A connector of these values.

    Raises ConnectorRefused with a sentence per wrong field, without its value.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as wrong:
        raise ConnectorRefused(sentences(wrong)) from None  # the cause would hold the values


def refuse_wrong(cls: type[Connector], values: dict[str, Any]) -> None:
    """Raises ConnectorRefused for what is wrong already, before anybody is asked for keys."""
    try:
        cls.model_validate(values)
    except ValidationError as wrong:
        if says := sentences(wrong, but=KEYS_MISSING):
            raise ConnectorRefused(says) from None
