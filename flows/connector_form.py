"""A connector's fields as options: read off its class, so that a new product needs no change here.

Secrets are no options: an argument can be seen by every process of the machine. They come from the environment or
from a prompt that shows nothing.
"""

import inspect
import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from flows.terminal import entered
from tasks.connector import Connector
from tasks.connector_documents import products
from tasks.errors import ConnectorRefused, OperatorError
from tasks.form import KEPT_BY_US
from tasks.untrusted import plain

ENVIRONMENT = "ATTACHMENT_ALERTS_"
PANEL = "Connector"

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
    return tuple(import_module(product.__module__).OWN_FIELDS)


def _keys(product: type[Connector]) -> tuple[str, ...]:
    return tuple(import_module(product.__module__).ALL_CREDENTIALS)


def with_options(stub: TyperCommand, function: Callable[..., None], fields: Fields) -> TyperCommand:
    """`function` as a command that looks like `stub`, with an option for each field that is no secret.

    The function gets those that were given as `fields`.
    """
    own = [each for each in inspect.signature(function, eval_str=True).parameters.values() if each.name != "fields"]
    options = {name: _option(name, info) for name, info in _open_fields(fields).items()}

    def called(**given: Any) -> None:
        values = {name: given.pop(name) for name in options}
        function(**given, fields={name: value for name, value in values.items() if value is not None})

    called.__signature__ = inspect.Signature([*own, *options.values()])  # type: ignore[attr-defined]
    single = typer.Typer(add_completion=False)
    single.command(stub.name, help=stub.help, epilog=stub.epilog)(called)
    return cast(TyperCommand, typer.main.get_command(single))


def credentials(product: type[Connector], values: dict[str, Any], otherwise: str | None = None) -> tuple[str, ...]:
    """The credentials to ask for: of the API generation that was named, or that something was given for."""
    generations: dict[str, tuple[str, ...]] = import_module(product.__module__).CREDENTIALS
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
    answer = entered(f"{title}{offer}: ", hidden=_is_secret(product, name)) or known
    if not answer:
        raise OperatorError(f"{title}: nothing was entered. Nothing was changed.")
    return answer


def _is_secret(product: type[Connector], name: str) -> bool:
    return product.model_fields[name].annotation is SecretStr


def _open_fields(fields: Fields) -> dict[str, FieldInfo]:
    found = {}
    for product in products().values():
        own = inspect.get_annotations(product)
        for name in sorted(fields(product), key=lambda field: field not in own):
            if not _is_secret(product, name):
                found[name] = product.model_fields[name]
    return found


def _option(name: str, info: FieldInfo) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    if info.annotation is bool:
        kind: Any = Annotated[
            bool | None, typer.Option(f"{flag}/--no-{flag[2:]}", help=info.description, rich_help_panel=PANEL)
        ]
    else:
        choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        metavar = "|".join(map(str, choices)) or ("NUMBER" if info.annotation is int else "TEXT")
        default = f" Default: {info.default}." if info.default not in (None, "") else ""
        kind = Annotated[
            str | None, typer.Option(flag, metavar=metavar, help=f"{info.description}{default}", rich_help_panel=PANEL)
        ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
