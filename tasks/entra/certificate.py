"""The certificate an application signs in with, read from PEM text."""

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SMALLEST_KEY = 2048  # bits

_BOTH = "enter the PEM text of both the private key and the certificate"


@dataclass(frozen=True)
class ClientCertificate:
    """A private key and the certificate that was uploaded to the application, each as PEM text."""

    private_key: str = field(repr=False)
    certificate: str
    expires_at: datetime


def read_certificate(pem: str) -> ClientCertificate:
    """Private key and certificate out of one PEM text, in any order, with or without its line breaks.

    Raises ValueError with a sentence that never repeats what was given.
    """
    key = _private_key(pem.encode())
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError(f"contains no readable certificate; {_BOTH}") from None
    for certificate in certificates:  # the first that belongs to the key: a chain may follow
        if certificate.public_key() == key.public_key():
            return ClientCertificate(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                ).decode(),
                certificate.public_bytes(serialization.Encoding.PEM).decode(),
                certificate.not_valid_after_utc,
            )
    raise ValueError("the certificate does not belong to this private key; use the pair that was created together")


def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError(
            "the private key has a passphrase; remove it first: openssl pkey -in key.pem -out open.pem"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"contains no readable private key; {_BOTH}") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SMALLEST_KEY:
        raise ValueError(f"the private key must be RSA with at least {SMALLEST_KEY} bits")
    return key
