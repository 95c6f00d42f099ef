"""Switches and faults as they are typed on a command line, and the lines that explain them."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from tasks.errors import SettingsError
from tests.simulator.faults import PASSING, Fault, Faults
from tests.simulator.switches import Switches

T = TypeVar("T")


class Line(NamedTuple):
    """One switch or fault explained; `choices` is empty for a fault."""

    name: str
    choices: str
    doc: str


class _Details(msgspec.Struct, forbid_unknown_fields=True):
    """What may follow a fault's name."""

    times: int | None = 1
    after: int = 0
    path: str | None = None
    seconds: float | None = None


def switches_from(options: Iterable[str]) -> Switches:
    """Switches from texts like `to_inclusive=false`. Raises SettingsError for a wrong name or value."""
    given = dict(_pair(option) for option in options)
    known = [field.name for field in fields(Switches)]
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise SettingsError(f"There is no switch called {unknown[0]!r}. Known: {', '.join(known)}.")
    return _converted(given, Switches)


def faults_from(options: Iterable[str], rate: float = 0.0, seed: int = 0, names: Iterable[str] = PASSING) -> Faults:
    """Faults from texts like `500` or `429,times=3,after=10,seconds=2`; `times=all` never ends.

    `rate`, `seed` and `names` are those of random faults. Raises SettingsError for a wrong name or value.
    """
    faults = Faults(rate, seed, names)
    for option in options:
        name, *details = option.split(",")
        given: dict[str, Any] = dict(_pair(detail) for detail in details)
        if given.get("times") == "all":
            given["times"] = None
        known = msgspec.structs.asdict(_converted(given, _Details))
        faults.inject(name, **{key: value for key, value in known.items() if key in given})
    return faults


def switch_lines() -> list[Line]:
    hints = get_type_hints(Switches, include_extras=True)
    return [_switch_line(field.name, hints[field.name], field.default) for field in fields(Switches)]


def fault_lines() -> list[Line]:
    return [Line(fault.value, "", fault.doc) for fault in Fault]


def _switch_line(name: str, hint: Any, default: object) -> Line:
    kind, doc = get_args(hint) if get_origin(hint) is Annotated else (hint, "")
    choices = [_typed(value) for value in (get_args(kind) or ((True, False) if kind is bool else ()))]
    return Line(name, f"{'|'.join(choices) or kind.__name__}, default {_typed(default)}", doc)


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pair(option: str) -> tuple[str, str]:
    name, sign, value = option.partition("=")
    if not sign:
        raise SettingsError(f"{option!r} has no value. Write it as {name}=VALUE.")
    return name.strip(), value.strip()


def _converted(given: dict[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"The simulator does not take that: {error}.") from error
