"""Signs in to Microsoft as the application itself, by secret or by certificate.

msal signs the assertion, makes the token request and caches the token. What it sends goes through our own client, so
that time limits, proxy and trusted authorities are the same as for every other request.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import jwt
import msal
import msgspec

from tasks.entra.connector import EntraConnector
from tasks.http.oauth import AccessToken, request_token


class _TokenEndpoint:
    """The HTTP client that msal requires. It sends to the connector's token endpoint only."""

    def __init__(self, connector: EntraConnector, http: httpx.Client) -> None:
        self._address = connector.login_url + connector.token_path
        self._metadata = dict.fromkeys(("token_endpoint", "authorization_endpoint"), connector.token_endpoint)
        self._http = http

    def get(self, _url: str, **_: Any) -> httpx.Response:
        """The addresses of the cloud, which are constant: a request would be one more answer to wait for and trust."""
        return httpx.Response(200, json=self._metadata)

    def post(self, _url: str, *, data: Mapping[str, Any], headers: Mapping[str, str], **_: Any) -> httpx.Response:
        """Raises NoTokenIssued instead of returning a failure: msal would log its text, which may quote the request."""
        form = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in data.items()}
        token = request_token(self._http, self._address, form, headers)
        return httpx.Response(200, json=msgspec.to_builtins(token))


class MicrosoftToken(AccessToken):
    """A token for the application of a connector."""

    def __init__(self, connector: EntraConnector, http: httpx.Client) -> None:
        super().__init__()
        self._scope = connector.scope
        certificate = connector.certificate()
        self._application = msal.ConfidentialClientApplication(
            connector.client_id,
            # Given the certificate, msal uses its SHA-256; the variant with a thumbprint is SHA-1 and deprecated.
            client_credential={"private_key": certificate.private_key, "public_certificate": certificate.certificate}
            if certificate
            else connector.client_secret.get_secret_value(),
            authority=connector.authority,
            http_client=_TokenEndpoint(connector, http),
            validate_authority=False,
            instance_discovery=False,
            azure_region=False,  # else MSAL_FORCE_REGION may choose another host
        )

    def valid_token(self) -> str:
        return str(self._application.acquire_token_for_client([self._scope])["access_token"])

    def drop_token(self) -> None:
        self._application.remove_tokens_for_client()

    def roles(self) -> frozenset[str] | None:
        """The permissions that the present token claims; None without a readable token.

        The token is not verified here: Graph does that, and the claims only explain a refusal.
        """
        try:
            claims = jwt.decode(self._token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        roles = claims.get("roles", [])
        return frozenset(map(str, roles)) if isinstance(roles, list) else None
