"""A connector as its form was filled in, also where it cannot be used like that: for who is to correct it."""

from typing import Any

from prefect.client.schemas.objects import BlockDocument
from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tasks.connectors.base import Connector


def as_saved(kind: type[Connector], document: BlockDocument) -> Connector:
    """What was entered stands as it is, be it wrong, so that saving it again names what is still to be corrected."""
    filled = {name: value for name, value in document.data.items() if value is not None}
    wrong = wrong_fields(kind, filled)
    values: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        if name in filled:
            values |= _typed(name, info, filled[name], wrong=name in wrong)
        elif info.is_required():
            values[name] = None
    connector = kind.model_construct(None, **values)
    connector._block_document_id, connector._block_document_name = document.id, document.name
    return connector


def wrong_fields(kind: type[Connector], values: dict[str, Any]) -> set[str]:
    """The fields that cannot be as they are, each by itself."""
    try:
        kind.model_validate(values)
    except ValidationError as wrong:
        return {str(error["loc"][0]) for error in wrong.errors(include_input=False) if error["loc"]}
    return set()


def _typed(name: str, info: FieldInfo, value: Any, *, wrong: bool) -> dict[str, Any]:
    if wrong and info.annotation is not SecretStr:
        return {name: value}  # its type alone might make a right value of it, which nobody has entered
    try:
        typed = TypeAdapter[Any](info.annotation or Any).validate_python(value)
    except ValidationError:
        # A secret that is no text is never kept in clear.
        return {} if info.annotation is SecretStr else {name: value}
    return {name: typed}
