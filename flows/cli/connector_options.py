"""Options of the command for a connector's fields, built from its class: a new product needs no change here.

Secrets are not options, since every process of the machine can read arguments. They come from the environment or from
a hidden prompt.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import make_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from flows.console.terminal import read_line
from tasks.connectors.base import Connector
from tasks.connectors.form_schema import MANAGED_FIELDS
from tasks.errors import ConnectorRefused, OperatorError
from tasks.products import PRODUCTS
from tasks.sanitize import plain

ENVIRONMENT = "ATTACHMENT_ALERTS_"
OPTION_PANEL = "Connector"
OFF_PREFIX = "not_"  # prefix of the parameter whose option turns a switch off

Fields = Callable[[type[Connector]], Iterable[str]]


def all_fields(product: type[Connector]) -> list[str]:
    """Every field that people fill in."""
    return [name for name in product.model_fields if name not in MANAGED_FIELDS]


def changeable_fields(product: type[Connector]) -> list[str]:
    """Neither the keys nor what identifies the account: with those, a connector would become another one."""
    fixed = {*product.all_credentials(), *product.always_needed}
    return [name for name in all_fields(product) if name not in fixed]


def rotation_fields(product: type[Connector]) -> list[str]:
    """The keys, where they are valid, and when they expire."""
    return [*product.address_fields, *product.all_credentials(), "key_expires_at"]


FIELDS: dict[str, Fields] = {"add": all_fields, "set": changeable_fields, "rotate": rotation_fields}
"""by the name of the command below `connectors`"""


def field_options(fields: Fields) -> list[Any]:
    """One option per field that is not a secret, as parameters of a command.

    Typer makes parameters from a callable's signature; a generated dataclass is one with the signature we need.
    """
    options = [option for name, infos in _option_fields(fields).items() for option in _options(name, infos)]
    app = typer.Typer(add_completion=False)
    app.command()(make_dataclass("FieldOptions", options))
    return list(typer.main.get_command(app).params)


def given_fields(parameters: dict[str, Any]) -> dict[str, Any]:
    """The fields that were given, from the values of `field_options`."""
    given = {name: value for name, value in parameters.items() if value is not None and not name.startswith(OFF_PREFIX)}
    return given | {
        name.removeprefix(OFF_PREFIX): False for name, off in parameters.items() if name.startswith(OFF_PREFIX) and off
    }


def credentials_to_prompt(
    product: type[Connector], values: dict[str, Any], otherwise: str | None = None
) -> tuple[str, ...]:
    """The credentials of the API generation in `values`, or else of the first one with any value given."""
    generations = product.credentials
    given = (
        api for api, names in generations.items() if any(values.get(name) or _from_environment(name) for name in names)
    )
    named = values.get("api") or next(given, None) or otherwise or next(iter(generations))
    return generations.get(named, ())


def prompt_for(
    product: type[Connector], names: Iterable[str], values: dict[str, Any], old: Connector | None = None
) -> dict[str, Any]:
    """These fields from the options, the environment or a prompt, which suggests the value of `old` unless secret.

    Raises OperatorError without a terminal.
    """
    return {name: values.get(name) or _from_environment(name) or _prompt(product, name, old) for name in names}


def parse_values(product: type[Connector], values: dict[str, Any]) -> dict[str, Any]:
    """Converts numeric choices to numbers; everything else is left to the connector's own validation.

    Raises ConnectorRefused for an option of another product.
    """
    if foreign := values.keys() - product.model_fields.keys():
        flags = ", ".join(sorted(_flag(name) for name in foreign))
        raise ConnectorRefused(f"{flags} is not an option of {product.product}. Choose the product with --product.")
    return {name: _as_choice(product.model_fields[name], value) for name, value in values.items()}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _as_choice(info: FieldInfo, value: Any) -> Any:
    if get_origin(info.annotation) is Literal:
        return next((choice for choice in get_args(info.annotation) if str(choice) == value), value)
    return value


def _from_environment(name: str) -> str | None:
    return os.environ.get(ENVIRONMENT + name.upper()) or None


def _prompt(product: type[Connector], name: str, old: Connector | None) -> str:
    title = product.model_fields[name].title or name
    default = "" if _is_secret(product, name) else getattr(old, name, "")
    if not sys.stdin.isatty():
        if default:
            return default
        raise OperatorError(f"{title} is missing, and no terminal can prompt for it. Set {ENVIRONMENT}{name.upper()}.")
    suggestion = f" [{plain(str(default))}]" if default else ""
    answer = read_line(f"{title}{suggestion}: ", hidden=_is_secret(product, name)) or default
    if not answer:
        raise OperatorError(f"No value was entered for {title}, so nothing was changed. Try again.")
    return answer


def _is_secret(product: type[Connector], name: str) -> bool:
    return product.model_fields[name].annotation is SecretStr


def _option_fields(fields: Fields) -> dict[str, dict[str, FieldInfo]]:
    """Every field that is not a secret, with its definition in each product that has it."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for product in PRODUCTS.values():
        connector = product.connector
        own = inspect.get_annotations(connector)
        for name in sorted(fields(connector), key=lambda field: field not in own):
            if not _is_secret(connector, name):
                found.setdefault(name, {})[connector.product] = connector.model_fields[name]
    return found


def _options(name: str, infos: dict[str, FieldInfo]) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and default; a switch gets a second option that turns it off, since --x/--no-x crowds out the help."""
    flag, kind, help_text = _flag(name), next(iter(infos.values())).annotation, _help(infos)
    if kind is bool:
        on = typer.Option(flag, rich_help_panel=OPTION_PANEL, help=help_text)
        no_flag = _flag(f"no_{name}")
        off = typer.Option(no_flag, rich_help_panel=OPTION_PANEL, help=f"Undo {flag}.", show_default=False)
        yield name, Annotated[bool | None, on], None
        yield OFF_PREFIX + name, Annotated[bool, off], False
    else:
        metavar = "NUMBER" if kind is int else "TEXT"
        option = typer.Option(flag, rich_help_panel=OPTION_PANEL, help=help_text, metavar=metavar)
        yield name, Annotated[str | None, option], None


def _help(infos: dict[str, FieldInfo]) -> str:
    """The description of the field, for each product where they differ."""
    texts = {product: _describe(info) for product, info in infos.items()}
    if len(set(texts.values())) == 1 and len(texts) == len(PRODUCTS):
        return texts.popitem()[1]
    return " ".join(f"{product}: {text}" for product, text in texts.items())


def _describe(info: FieldInfo) -> str:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    listed = f" One of {', '.join(map(str, choices))}." if choices else ""
    default = f" Default: {info.default}." if info.default not in (None, "", False) else ""
    return f"{info.description}{listed}{default}"
