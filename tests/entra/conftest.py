import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.entra.graph import Graph, serve
from tests.mimecast.conftest import bare_network, quick

__all__ = ["bare_network", "quick"]


@dataclass(frozen=True)
class Keys:
    """An application's key and certificate, and what the service knows of them."""

    private_pem: str
    certificate_pem: str
    public_key: rsa.RSAPublicKey
    thumbprint: str
    """as the header of a signed statement has it"""

    @property
    def pem(self) -> str:
        return self.private_pem + self.certificate_pem


def make_keys(days: int = 30, bits: int = 2048) -> Keys:
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attachment-alerts")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    thumbprint = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return Keys(private.decode(), pem, key.public_key(), thumbprint)


@pytest.fixture(scope="session")
def keys() -> Keys:
    return make_keys()


@pytest.fixture(scope="session")
def running() -> Iterator[Graph]:
    with serve(Graph()) as graph:
        yield graph


@pytest.fixture
def graph(running: Graph) -> Graph:
    """An empty directory that every test fills as it needs."""
    running.reset()
    return running
