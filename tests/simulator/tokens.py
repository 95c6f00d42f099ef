"""Page tokens: opaque, signed and self-contained, so that the simulator stores no listing."""

import base64
import hashlib

import msgspec

from tests.simulator.rows import Query
from tests.simulator.world import Position

_SIGNING_KEY = b"simulator page tokens"
_TAG_BYTES = 9
ENDLESS = 10**12


class PageToken(msgspec.Struct, array_like=True, frozen=True):
    """A place in one account's listing. First come `empties` empty pages; no position: the end."""

    account: str
    query: Query
    total: int | None
    position: Position | None
    empties: int = 0


def encode_token(token: PageToken) -> str:
    payload = msgspec.json.encode(token)
    return base64.urlsafe_b64encode(_tag(payload) + payload).rstrip(b"=").decode()


def decode_token(text: str) -> PageToken | None:
    """None for anything this simulator did not issue."""
    try:
        signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if signed[:_TAG_BYTES] != _tag(signed[_TAG_BYTES:]):
            return None
        return msgspec.json.decode(signed[_TAG_BYTES:], type=PageToken)
    except ValueError:
        return None


def _tag(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, key=_SIGNING_KEY, digest_size=_TAG_BYTES).digest()
