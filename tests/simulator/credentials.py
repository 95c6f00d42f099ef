"""Authentication: the signature of API 1.0, the access tokens of API 2.0."""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from tests.simulator.accounts import Account, account_with
from tests.simulator.answers import Answer, Envelopes, flat_failure, json_answer
from tests.simulator.incoming import Incoming
from tests.simulator.limits import UNKNOWN_KEY
from tests.simulator.switches import Switches


def access_key_of(headers: Mapping[str, str]) -> str:
    """The access key in `MC key:signature`; a blank after the colon is tolerated, as the vendor does."""
    return headers.get("authorization", "").removeprefix("MC ").partition(":")[0].strip()


def signature(secret_key: str, date: str, request_id: str, path: str, application_key: str) -> str:
    """The vendor's rule: over the date text as received, whatever zone it names; the body is not signed."""
    text = f"{date}:{request_id}:{path}:{application_key}"
    digest = hmac.new(base64.b64decode(secret_key), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


class SignatureCheck:
    """API 1.0: application id, then key and signature, then expiry."""

    def __init__(self, accounts: tuple[Account, ...], switches: Switches) -> None:
        self._accounts, self._switches = accounts, switches
        self._envelopes = Envelopes(1, switches)

    def rate_key(self, incoming: Incoming) -> str:
        key = access_key_of(incoming.headers)
        return key if account_with(self._accounts, "access_key", key) else UNKNOWN_KEY

    def admit(self, incoming: Incoming) -> Account | Answer:
        headers, path = incoming.headers, incoming.path
        application_id = headers.get("x-mc-app-id", "")
        if not account_with(self._accounts, "application_id", application_id):
            return refused_application(self._envelopes, application_id)
        found = account_with(self._accounts, "access_key", access_key_of(headers))
        if not found or not self._signed(headers, path, found[1]) or self._skewed(headers):
            return self._envelopes.failed(401, "err_xdk_invalid_signature", "0004 Invalid Signature")
        return expired_keys(self._envelopes) if found[0].keys_expired else found[0]

    def _signed(self, headers: Mapping[str, str], path: str, keys: Mapping[str, str]) -> bool:
        given = headers.get("authorization", "").partition(":")[2].strip()
        date, request_id = headers.get("x-mc-date", ""), headers.get("x-mc-req-id", "")
        expected = signature(keys["secret_key"], date, request_id, path, keys["application_key"])
        right_application = headers.get("x-mc-app-id") == keys["application_id"]
        return right_application and hmac.compare_digest(given.encode(), expected.encode())

    def _skewed(self, headers: Mapping[str, str]) -> bool:
        if not self._switches.clock_skew_check:
            return False
        try:
            sent = parsedate_to_datetime(headers.get("x-mc-date", "")).timestamp()
        except ValueError:
            return True
        server = time.time() + self._switches.server_time_offset
        return abs(server - sent) > self._switches.clock_skew_seconds


def refused_application(envelopes: Envelopes, application_id: str) -> Answer:
    """The vendor answers an unknown application id with HTTP 200 (recorded)."""
    return envelopes.failed(200, "err_developer_key", f"App ID is invalid: {application_id}")


def expired_keys(envelopes: Envelopes) -> Answer:
    return envelopes.failed(418, "err_xdk_binding_expired", "0018 AccessKey Has Expired")


class TokenEndpoint:
    """API 2.0: issues and checks access tokens; each is valid until it expires."""

    def __init__(self, accounts: tuple[Account, ...], switches: Switches) -> None:
        self._accounts, self._switches = accounts, switches
        self._tokens: dict[str, tuple[float, str]] = {}  # access token → (expires at, client id)

    @property
    def issued(self) -> set[str]:
        return set(self._tokens)

    def rate_key(self, incoming: Incoming) -> str:
        return self._tokens.get(_bearer(incoming.headers), (0.0, UNKNOWN_KEY))[1]

    def issue(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST /oauth/token: accepts a form only; the answer is plain OAuth, without the vendor's envelope."""
        if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return json_answer(400, {"error": "invalid_request"})
        form = dict(parse_qsl(body.decode(errors="replace")))
        if form.get("grant_type") != "client_credentials":
            return json_answer(400, {"error": "unsupported_grant_type"})
        found = account_with(self._accounts, "client_id", form.get("client_id", ""))
        if not found or found[1]["client_secret"] != form.get("client_secret"):
            return self._wrong_secret()
        now, lifetime, token = time.time(), self._switches.token_seconds, secrets.token_urlsafe(24)
        # Recently expired tokens are kept: they are refused in another way than unknown ones.
        self._tokens = {key: value for key, value in self._tokens.items() if value[0] > now - 3600}
        self._tokens[token] = (now + lifetime, form["client_id"])
        granted = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": ""}
        return json_answer(200, granted)

    def admit(self, incoming: Incoming) -> Account | Answer:
        expires_at, client_id = self._tokens.get(_bearer(incoming.headers), (0.0, ""))
        found = account_with(self._accounts, "client_id", client_id)
        if not found:
            return flat_failure(401, "unauthorized", "The access token is missing or not valid")
        return found[0] if time.time() < expires_at else expired_token()

    def revoke(self, headers: Mapping[str, str]) -> Answer:
        """The token of this call is expired from now on."""
        token = _bearer(headers)
        if token in self._tokens:
            self._tokens[token] = (0.0, self._tokens[token][1])
        return expired_token()

    def _wrong_secret(self) -> Answer:
        if self._switches.bad_client_form == "oauth":
            return json_answer(401, {"error": "invalid_client"})
        return flat_failure(401, "unauthorized", "The client credentials are not valid")


def expired_token() -> Answer:
    return flat_failure(401, "token_expired", "The access token has expired")


def _bearer(headers: Mapping[str, str]) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ").strip()
