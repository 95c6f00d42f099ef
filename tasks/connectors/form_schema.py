"""The form of a connector as the Prefect UI shows it: the order of its fields, and what must be filled in."""

import inspect
from typing import Any

from pydantic_core import PydanticCustomError

MANAGED_FIELDS = ("connector_id", "account_code", "tested_at")  # last in the form, set automatically
RARE_FIELDS = ("page_size", "base_url", "allow_other_host")  # before those: for a gateway, a simulator, a slow line
KEYS_MISSING = "keys_missing"


def require_filled(*names: str) -> dict[str, Any]:
    """A JSON Schema rule: these text fields are filled in."""
    return {"required": list(names), "properties": {name: {"minLength": 1} for name in names}}


def missing_keys_error(message: str) -> PydanticCustomError:
    """The error of a form that is valid except for missing keys."""
    return PydanticCustomError(KEYS_MISSING, "{message}", {"message": message})


def arrange_form(form: dict[str, Any], cls: type, always_needed: tuple[str, ...]) -> None:
    """Sort the fields of the form and mark the required ones."""
    fields: dict[str, dict[str, Any]] = form["properties"]
    lineage = [*enumerate(cls.__mro__)][::-1]
    declared = {name: place for place, base in lineage for name in inspect.get_annotations(base)}
    order = sorted(fields, key=lambda name: (name in MANAGED_FIELDS, name in RARE_FIELDS, declared[name]))
    # The form is sorted by position, the page of a saved connector by the order of the fields.
    form["properties"] = fields = {name: _plain_field(fields[name]) | {"position": order.index(name)} for name in order}
    for name in MANAGED_FIELDS:
        fields[name].pop("format", None)  # no date picker for a value set automatically
    # The UI calls everything else "(Optional)".
    form["required"] = [name for name in order if "default" in fields[name] or name in always_needed]


def _plain_field(field: dict[str, Any]) -> dict[str, Any]:
    """An optional field as a plain one, which is not sent if empty; else the UI would ask to choose "None" first."""
    filled = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    plain = field | filled[0] if len(filled) == 1 else field
    dropped = {"anyOf"} | ({"default"} if field.get("default") in (None, "") else set())
    return {name: value for name, value in plain.items() if name not in dropped}
