"""Checks whether the host can be reached, and whether a TLS-inspecting proxy answers in its place."""

import ssl

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from tasks.errors import Unreachable
from tasks.http.check import Check
from tasks.http.client import cause_chain, host_of, open_http, proxy_of, public_trust, transport_failure
from tasks.sanitize import plain

REACHED = "host and TLS"
EXPIRED, NOT_YET_VALID, OTHER_NAME = 10, 9, 62  # OpenSSL's X509_V_ERR_…

_COMPANY_CA = (
    "If it is your company's TLS-inspecting proxy, have its authority installed in this machine's certificate store, "
    "or save it as a PEM file and set SSL_CERT_FILE to it, here and for every worker. Otherwise the connection may be "
    "intercepted; do not continue."
)
_NO_STORE = "Install the public certificate authorities on this machine (package ca-certificates)."


def reach_check(url: str, *, vendor_host: bool) -> Check:
    """Connects to the host without sending any key."""
    try:
        issuer = _issuer(url)
    except Unreachable as unusable:  # the environment's settings of authorities or proxies
        return Check(REACHED, "failed", str(unusable), "Correct the variable, or unset it.")
    except httpx.RequestError as error:
        return _no_conversation(url, error)
    answers = f"{host_of(url)} answers{_by_proxy(url)}"
    if issuer is None:
        return Check(REACHED, "warning", f"{answers}, without encryption.", "Use https outside of this machine.")
    if vendor_host and not _publicly_trusted(url):
        return Check(
            REACHED,
            "warning",
            f"{answers}, but through a TLS-inspecting proxy: the certificate was issued by {issuer}, which this "
            "machine trusts, but which is not a public authority.",
            "Polling works, but the proxy can read keys and records. Have the host exempted if that is not acceptable.",
        )
    return Check(REACHED, "ok", f"{answers}, with a certificate issued by {issuer}.")


def _no_conversation(url: str, error: httpx.RequestError) -> Check:
    for cause in cause_chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _bad_certificate(url, cause)
    return Check(
        REACHED, "failed", str(transport_failure(error, url).error), "Correct this, then test the connection again."
    )


def _bad_certificate(url: str, error: ssl.SSLCertVerificationError) -> Check:
    shown = f"{host_of(url)}{_by_proxy(url)} presents a certificate"
    if error.verify_code in (EXPIRED, NOT_YET_VALID):
        says = f"{shown} that is not valid now ({plain(error.verify_message)})."
        return Check(REACHED, "failed", says, "Check this machine's date first, then the address.")
    if error.verify_code == OTHER_NAME:
        says = f"{shown} issued for another name."
        return Check(REACHED, "failed", says, "Check the base URL and the proxy's settings.")
    issuer = _shown_issuer(url)
    says = f"{shown} issued by {issuer}, which this machine does not trust ({plain(error.verify_message)})."
    return Check(REACHED, "failed", says, _NO_STORE if _publicly_trusted(url) else _COMPANY_CA)


def _issuer(url: str, context: ssl.SSLContext | None = None) -> str | None:
    """The issuer of the certificate; None without TLS."""
    with open_http(url, verify=context) as http, http.stream("GET", "/") as answer:
        tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
        certificate = tls.getpeercert(True) if tls else None  # as DER
    return _name(certificate) if certificate else None


def _shown_issuer(url: str) -> str:
    # Nothing is verified here, only to name the issuer; so nothing is sent but GET /.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return _issuer(url, context) or "an unknown authority"
    except httpx.RequestError:
        return "an unknown authority"


def _name(certificate: bytes) -> str:
    issuer = x509.load_der_x509_certificate(certificate).issuer
    parts = [
        attribute.value
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        for attribute in issuer.get_attributes_for_oid(oid)[:1]
    ]
    return plain(", ".join(map(str, parts)) or "an authority without a name")


def _publicly_trusted(url: str) -> bool:
    try:
        _issuer(url, public_trust())
    except httpx.RequestError as error:
        return not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in cause_chain(error))
    return True


def _by_proxy(url: str) -> str:
    proxy = proxy_of(url)
    return f" through the proxy {proxy}" if proxy else ""
