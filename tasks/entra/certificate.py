"""The certificate an application signs in with: read from PEM, and made into a signed statement of who we are."""

import base64
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE = timedelta(minutes=10)  # what Microsoft advises at most
SMALLEST_KEY = 2048  # bits

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_HOW = "give the PEM text of the private key and of the certificate together"


@dataclass(frozen=True)
class ClientCertificate:
    """A key and the certificate of it that was uploaded to the application."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return f"ClientCertificate({self.thumbprint})"

    @property
    def thumbprint(self) -> str:
        """SHA-256 of the certificate in hexadecimal, as the console shows it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex().upper()

    @property
    def expires_at(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def assertion(self, client_id: str, audience: str, now: datetime | None = None) -> str:
        """The signed statement for one token request.

        PS256 and x5t#S256 as Microsoft's page on certificate credentials asks for (entra-docs,
        certificate-credentials.md); RS256 with a SHA-1 thumbprint is the older form of the same.
        """
        moment = int((now or datetime.now(UTC)).timestamp())
        header = {"alg": "PS256", "typ": "JWT", "x5t#S256": _text(self.certificate.fingerprint(hashes.SHA256()))}
        claims = {
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": str(uuid.uuid4()),
            "nbf": moment,
            "iat": moment,
            "exp": moment + int(LIFE.total_seconds()),
        }
        signed = f"{_text(msgspec.json.encode(header))}.{_text(msgspec.json.encode(claims))}"
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
        return f"{signed}.{_text(self.key.sign(signed.encode(), pss, hashes.SHA256()))}"


def read_certificate(pem: str) -> ClientCertificate:
    """Private key and certificate out of one PEM text, in any order, with or without its line ends.

    A form's one-line field takes line ends away. Raises ValueError with a sentence, never with what was given.
    """
    blocks = [(label, _rewrapped(label, body)) for label, body in _BLOCK.findall(pem)]
    keys = [text for label, text in blocks if label.endswith("PRIVATE KEY")]
    certificates = [text for label, text in blocks if label == "CERTIFICATE"]
    if len(keys) != 1 or not certificates:
        raise ValueError(f"{_HOW}; found: {len(keys)} private keys, {len(certificates)} certificates")
    if "ENCRYPTED" in pem:
        raise ValueError("the private key has a passphrase; take it off first: openssl pkey -in key.pem -out open.pem")
    key = _key(keys[0])
    for text in certificates:  # the first that is the key's: a chain may follow
        certificate = _certificate(text)
        if certificate.public_key() == key.public_key():
            return ClientCertificate(key, certificate)
    raise ValueError("the certificate is not of this private key; give the two that were made together")


def _key(pem: str) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"the private key cannot be read; {_HOW}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SMALLEST_KEY:
        raise ValueError(f"the private key must be RSA with at least {SMALLEST_KEY} bits")
    return key


def _certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise ValueError(f"the certificate cannot be read; {_HOW}") from None


def _rewrapped(label: str, body: str) -> str:
    packed = "".join(body.split())
    lines = [packed[start : start + 64] for start in range(0, len(packed), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
