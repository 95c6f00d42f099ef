"""A connector as its form was filled in, also where it cannot be used like that: for who is to correct it."""

from typing import Any

from prefect.client.schemas.objects import BlockDocument
from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tasks.connector import Connector


def as_saved(kind: type[Connector], document: BlockDocument) -> Connector:
    """What was entered stands as it is, be it wrong, so that saving it again names what is still to be corrected."""
    filled = {name: value for name, value in document.data.items() if value is not None}
    values: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        if name in filled:
            values |= _typed(name, info, filled[name])
        elif info.is_required():
            values[name] = None
    connector = kind.model_construct(None, **values)
    connector._block_document_id, connector._block_document_name = document.id, document.name
    return connector


def _typed(name: str, info: FieldInfo, value: Any) -> dict[str, Any]:
    try:
        typed = TypeAdapter[Any](info.annotation or Any).validate_python(value)
    except ValidationError:
        # A secret that is no text is never kept in clear.
        return {} if info.annotation is SecretStr else {name: value}
    return {name: typed}
