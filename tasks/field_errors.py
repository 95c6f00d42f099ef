"""Validation errors in plain words, without the invalid value: it may be a secret."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

WHOLE_NUMBER = "must be a whole number"
YES_OR_NO = "must be true or false"
MOMENT = "must be a time such as 2027-03-01 or 2027-03-01T12:00Z"
MESSAGES = {
    "int_parsing": WHOLE_NUMBER,
    "int_type": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "bool_parsing": YES_OR_NO,
    "bool_type": YES_OR_NO,
    "datetime_parsing": MOMENT,
    "datetime_from_date_parsing": MOMENT,
    "datetime_object_invalid": MOMENT,
    "datetime_type": MOMENT,
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "missing": "is missing",
}
"""Error type of pydantic → message; limits and choices are filled in."""


def error_messages(invalid: ValidationError, titles: Mapping[str, str], but: str = "") -> str:
    """All errors with the titles of their fields, except errors of the type `but`."""
    messages = []
    for error in invalid.errors(include_input=False, include_url=False):
        where = ".".join(titles.get(str(part), str(part)) for part in error["loc"])
        if error["type"] != but:
            messages.append(f"{where}: {error_message(error)}" if where else error_message(error))
    return "; ".join(messages)


def error_message(error: ErrorDetails) -> str:
    template = MESSAGES.get(error["type"])
    return template.format(**error.get("ctx", {})) if template else error["msg"].removeprefix("Value error, ")
