"""The fields that only API 1.0 needs: four keys."""

import base64
import binascii
from typing import Any

from pydantic import Field, SecretStr, field_validator

from tasks.connectors.address_fields import SendableSecret, SendableText
from tasks.connectors.polled import PolledConnector

API_1_CREDENTIALS = ("application_id", "application_key", "access_key", "secret_key")


def _secret(title: str, description: str) -> Any:
    return Field(default=SecretStr(""), title=title, description=description)


class Api1Fields(PolledConnector):
    """A connector that can also hold keys of API 1.0."""

    application_id: SendableText = Field(
        default="",
        title="Application id (API 1.0)",
        description="For API 1.0 only: of the API application in the console.",
    )
    application_key: SendableSecret = _secret(
        "Application key (API 1.0)", "For API 1.0 only: beside the application id in the console."
    )
    access_key: SendableSecret = _secret(
        "Access key (API 1.0)", "For API 1.0 only: created for a service user with Create Keys."
    )
    secret_key: SendableSecret = _secret(
        "Secret key (API 1.0)", "For API 1.0 only: created together with the access key, base64 text that may end in =."
    )

    @field_validator("secret_key")
    @classmethod
    def _base64(cls, value: SecretStr) -> SecretStr:
        try:
            base64.b64decode(value.get_secret_value(), validate=True)
        except binascii.Error:
            raise ValueError("is not complete base64 text; copy it again, with the = signs at its end") from None
        return value
