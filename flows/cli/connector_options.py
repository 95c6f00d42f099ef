"""A connector's fields as options: read off its class, so that a new product needs no change here.

Secrets are no options: an argument can be seen by every process of the machine. They come from the environment or
from a prompt that shows nothing.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from flows.console.terminal import read_line
from tasks.connectors.base import Connector
from tasks.connectors.form_schema import KEPT_BY_US
from tasks.errors import ConnectorRefused, OperatorError
from tasks.products import PRODUCTS
from tasks.sanitize import plain

ENVIRONMENT = "ATTACHMENT_ALERTS_"
PANEL = "Connector"
NOT = "not_"  # before the name of a switch: the option that turns it off

Fields = Callable[[type[Connector]], Iterable[str]]


def all_fields(product: type[Connector]) -> list[str]:
    """Everything a person may enter."""
    return [name for name in product.model_fields if name not in KEPT_BY_US]


def changed_fields(product: type[Connector]) -> list[str]:
    """What a connector may change without becoming another: neither its keys nor what names the account."""
    fixed = {*_keys(product), *product.always_needed}
    return [name for name in all_fields(product) if name not in fixed]


def key_fields(product: type[Connector]) -> list[str]:
    """What new keys may bring with them: the keys, where they are good, and when they end."""
    return [*address_fields(product), *_keys(product), "key_expires_at"]


def address_fields(product: type[Connector]) -> tuple[str, ...]:
    """Where the keys are good."""
    return product.address_fields


def _keys(product: type[Connector]) -> tuple[str, ...]:
    return product.all_credentials()


def with_options(stub: TyperCommand, function: Callable[..., None], fields: Fields) -> TyperCommand:
    """`function` as a command that looks like `stub`, with an option for each field that is no secret.

    The function gets those that were given as `fields`.
    """
    own = [each for each in inspect.signature(function, eval_str=True).parameters.values() if each.name != "fields"]
    found = _open_fields(fields)
    options = [option for name, infos in found.items() for option in _options(name, infos)]

    def called(**given: Any) -> None:
        values = {name: given.pop(name) for name in found}
        refused = {name: False for name in found if given.pop(NOT + name, False)}
        function(**given, fields={name: value for name, value in values.items() if value is not None} | refused)

    called.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    single = typer.Typer(add_completion=False)
    single.command(stub.name, help=stub.help, epilog=stub.epilog)(called)
    return cast(TyperCommand, typer.main.get_command(single))


def credentials(product: type[Connector], values: dict[str, Any], otherwise: str | None = None) -> tuple[str, ...]:
    """The credentials to ask for: of the API generation that was named, or that something was given for."""
    generations = product.credentials
    given = (
        api for api, names in generations.items() if any(values.get(name) or _from_environment(name) for name in names)
    )
    named = values.get("api") or next(given, None) or otherwise or next(iter(generations))
    return generations.get(named, ())


def asked(
    product: type[Connector], names: Iterable[str], values: dict[str, Any], old: Connector | None = None
) -> dict[str, Any]:
    """These fields from the options, the environment or a prompt, which offers what `old` has if it is no secret.

    Raises OperatorError where nobody can be asked.
    """
    return {name: values.get(name) or _from_environment(name) or _prompt(product, name, old) for name in names}


def typed_values(product: type[Connector], values: dict[str, Any]) -> dict[str, Any]:
    """Choices that are numbers as numbers; the rest is left to the connector's own check.

    Raises ConnectorRefused for an option of another product.
    """
    if foreign := values.keys() - product.model_fields.keys():
        flags = ", ".join(sorted("--" + name.replace("_", "-") for name in foreign))
        raise ConnectorRefused(f"{flags}: no option of {product.product}. Say which product with --product.")
    return {name: _as_choice(product.model_fields[name], value) for name, value in values.items()}


def _as_choice(info: FieldInfo, value: Any) -> Any:
    if get_origin(info.annotation) is Literal:
        return next((choice for choice in get_args(info.annotation) if str(choice) == value), value)
    return value


def _from_environment(name: str) -> str | None:
    return os.environ.get(ENVIRONMENT + name.upper()) or None


def _prompt(product: type[Connector], name: str, old: Connector | None) -> str:
    title = product.model_fields[name].title or name
    known = "" if _is_secret(product, name) else getattr(old, name, "")
    if not sys.stdin.isatty():
        if known:
            return known
        raise OperatorError(f"{title}: no terminal to ask. Set {ENVIRONMENT}{name.upper()} and try again.")
    offer = f" [{plain(str(known))}]" if known else ""
    answer = read_line(f"{title}{offer}: ", hidden=_is_secret(product, name)) or known
    if not answer:
        raise OperatorError(f"{title}: nothing was entered. Nothing was changed.")
    return answer


def _is_secret(product: type[Connector], name: str) -> bool:
    return product.model_fields[name].annotation is SecretStr


def _open_fields(fields: Fields) -> dict[str, dict[str, FieldInfo]]:
    """Every field that is no secret, as each product that has it describes it."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for product in (each.connector for each in PRODUCTS.values()):
        own = inspect.get_annotations(product)
        for name in sorted(fields(product), key=lambda field: field not in own):
            if not _is_secret(product, name):
                found.setdefault(name, {})[product.product] = product.model_fields[name]
    return found


def _options(name: str, infos: dict[str, FieldInfo]) -> Iterator[inspect.Parameter]:
    """The option, and for a switch one that turns it off: two names in a row would leave no room for the help."""
    flag, kind = name.replace("_", "-"), next(iter(infos.values())).annotation
    if kind is bool:
        yield _option(name, bool | None, f"--{flag}", help=_help(infos))
        yield _option(NOT + name, bool, f"--no-{flag}", help=f"Takes back --{flag}.", show_default=False)
    else:
        metavar = "NUMBER" if kind is int else "TEXT"
        yield _option(name, str | None, f"--{flag}", metavar=metavar, help=_help(infos))


def _option(name: str, kind: Any, flag: str, **more: Any) -> inspect.Parameter:
    default = False if kind is bool else None
    annotation = Annotated[kind, typer.Option(flag, rich_help_panel=PANEL, **more)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _help(infos: dict[str, FieldInfo]) -> str:
    """What the field means, for each product where they differ."""
    says = {product: _meaning(info) for product, info in infos.items()}
    if len(set(says.values())) == 1 and len(says) == len(PRODUCTS):
        return says.popitem()[1]
    return " ".join(f"{product}: {text}" for product, text in says.items())


def _meaning(info: FieldInfo) -> str:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    listed = f" One of {', '.join(map(str, choices))}." if choices else ""
    default = f" Default: {info.default}." if info.default not in (None, "", False) else ""
    return f"{info.description}{listed}{default}"
