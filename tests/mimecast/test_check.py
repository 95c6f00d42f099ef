import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest

from tasks.http.check import Check, passed
from tasks.mimecast.check import run_checks
from tasks.mimecast.connector import MimecastConnector
from tasks.products import check_connector
from tests.mimecast.network import Authority, inspecting_proxy
from tests.simulator import (
    V1_KEYS,
    V2_KEYS,
    Account,
    Faults,
    Running,
    Simulator,
    Switches,
    World,
    serve,
)

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

KEYS: dict[str, dict[str, Any]] = {
    "1.0": {"api": "1.0", "region": "eu", **V1_KEYS},
    "2.0": {"api": "2.0", **V2_KEYS},
}
NAMES = [
    "address", "host and TLS", "clock", "credentials", "key expiry", "region", "permission", "account",
    "request quota",
]  # fmt: skip
AUTHORITY = "Contoso Web Gateway CA"
HASHED_NAME = "239505d8.0"  # of that authority, as `openssl rehash` makes it
VENDOR_HOST = "eu-api.mimecast.com"


@pytest.fixture(params=["1.0", "2.0"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def service(switches: Switches | None = None, **account: Any) -> Iterator[Running]:
    simulator = Simulator(
        World.of_records([]), switches or Switches(), Faults(), accounts=(Account.numbered(1, **account),)
    )
    with serve(simulator) as running:
        yield running


def checks_of(running: Running, api: str, **changes: Any) -> dict[str, Check]:
    checks = run_checks(connector_of(running.url, api, **changes))[0]
    assert [check.name for check in checks] == NAMES
    for check in checks:
        assert check.says
        assert check.next_step or check.state in ("ok", "skipped")
    return {check.name: check for check in checks}


def connector_of(url: str, api: str, **changes: Any) -> MimecastConnector:
    return MimecastConnector.model_validate(KEYS[api] | {"base_url": url, "allow_other_host": True} | changes)


def states(checks: dict[str, Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks.values() if check.state != "ok"}


SIMULATED = {"address": "warning", "host and TLS": "warning"}  # another host, and without TLS


def test_valid_connector_passes_every_check(api: str) -> None:
    with service() as running:
        checks = checks_of(running, api)
        found, account = check_connector(connector_of(running.url, api))
    assert states(checks) == SIMULATED
    assert passed(found)
    assert account is not None
    assert account.code == "CSIM1A1"
    assert "Contoso 1 (simulated) (CSIM1A1)" in checks["account"].says
    assert "800" in checks["request quota"].says


@pytest.mark.parametrize(
    ("api", "wrong", "named"),
    [
        ("1.0", {"application_id": "other"}, "application id"),
        ("1.0", {"application_key": "other"}, "application key, access key or secret key"),
        ("1.0", {"access_key": "other"}, "application key, access key or secret key"),
        ("1.0", {"secret_key": "b3RoZXI="}, "application key, access key or secret key"),
        ("2.0", {"client_id": "other"}, "client id or the client secret"),
        ("2.0", {"client_secret": "other"}, "client id or the client secret"),
    ],
    indirect=["api"],
)
@pytest.mark.parametrize("form", ["flat", "oauth"])
def test_refused_keys_fail_credentials_and_name_the_candidates(
    api: str, wrong: dict[str, str], named: str, form: Any
) -> None:
    with service(Switches(bad_client_form=form)) as running:
        checks = checks_of(running, api, **wrong)
    assert not passed(list(checks.values()))
    assert checks["credentials"].state == "failed"
    assert named in checks["credentials"].says
    assert [checks[name].state for name in NAMES[4:]] == ["skipped"] * 5


def test_expired_keys_fail_key_expiry_only() -> None:
    with service(keys_expired=True) as running:
        checks = checks_of(running, "1.0")
    assert states(checks) == SIMULATED | {
        "key expiry": "failed", "region": "skipped", "permission": "skipped", "account": "skipped",
        "request quota": "skipped",
    }  # fmt: skip
    assert checks["key expiry"].next_step


@pytest.mark.parametrize(("days", "state"), [(-1, "warning"), (13, "warning"), (15, "ok")])
def test_keys_that_expire_soon_are_a_warning(api: str, days: int, state: str) -> None:
    with service() as running:
        ends = datetime.now(UTC) + timedelta(days=days, hours=1)
        checks = checks_of(running, api, key_expires_at=ends)
    assert checks["key expiry"].state == state
    assert f"{ends:%Y-%m-%d}" in checks["key expiry"].says
    assert passed(list(checks.values()))


def test_wrong_region_fails_and_lists_the_regions() -> None:
    with service() as running:
        running.simulator.faults.inject("wrong-region", times=None)
        checks = checks_of(running, "1.0")
    assert checks["region"].state == "failed"
    assert "eu, de, us" in (checks["region"].next_step or "")
    assert not passed(list(checks.values()))


def test_missing_permission_fails_and_the_account_is_still_read(api: str) -> None:
    with service(may_read_logs=False) as running:
        checks = checks_of(running, api)
    assert states(checks) == SIMULATED | {"permission": "failed"}
    assert "Monitoring | Attachment Protection | Read" in (checks["permission"].next_step or "")
    assert not passed(list(checks.values()))


def test_unreadable_account_is_a_warning(api: str) -> None:
    with service(may_read_account=False) as running:
        checks = checks_of(running, api)
    assert states(checks) == SIMULATED | {"account": "warning"}
    assert passed(list(checks.values()))


def test_account_without_the_package_is_a_warning(api: str) -> None:
    with service(packages=("Email Security [1001]",)) as running:
        checks = checks_of(running, api)
    assert states(checks) == SIMULATED | {"account": "warning"}
    assert "Attachment Protection" in checks["account"].says


def test_keys_of_another_account_fail(api: str) -> None:
    with service() as running:
        checks = checks_of(running, api, account_code="COTHER")
    assert states(checks) == SIMULATED | {"account": "failed"}
    assert not passed(list(checks.values()))


@pytest.mark.parametrize("ahead", [3_600.0, -90.0])
def test_clock_that_differs_is_a_warning(api: str, ahead: float) -> None:
    with service(Switches(server_time_offset=ahead)) as running:
        checks = checks_of(running, api)
    assert states(checks) == SIMULATED | {"clock": "warning"}


def test_signature_refused_for_the_clock_advises_to_correct_the_clock() -> None:
    with service(Switches(server_time_offset=3_600, clock_skew_check=True)) as running:
        checks = checks_of(running, "1.0")
    assert checks["credentials"].state == "failed"
    assert "clock first" in (checks["credentials"].next_step or "")


def test_exhausted_quota_fails(api: str) -> None:
    with service() as running:
        running.simulator.faults.inject("429", times=None, seconds=15)
        checks = checks_of(running, api)
    assert checks["request quota"].state == "failed"
    assert checks["permission"].state == "skipped"
    assert not passed(list(checks.values()))


def test_low_quota_is_a_warning() -> None:
    with service(Switches(rate_limit=19, rate_window_ms=60_000)) as running:
        for _ in range(9):
            checks = checks_of(running, "1.0")
    assert checks["request quota"].state == "warning"


def test_server_errors_fail_the_permission_check(api: str) -> None:
    with service() as running:
        running.simulator.faults.inject("500", times=None)
        checks = checks_of(running, api)
    assert checks["permission"].state == "failed"
    assert checks["credentials"].state == "skipped"


def test_host_without_a_server_fails_and_skips_the_rest(api: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    checks, account = run_checks(connector_of(url, api))
    assert account is None
    assert [check.state for check in checks] == ["warning", "failed", *["skipped"] * 7]
    assert url.removeprefix("http://") in checks[1].says


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, AUTHORITY)


def vendor_connector() -> MimecastConnector:
    return MimecastConnector.model_validate(KEYS["1.0"])


def test_inspecting_proxy_with_a_trusted_authority_is_a_warning(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service() as running:
        certificate = authority.server_context(VENDOR_HOST)
        with inspecting_proxy(certificate, running.url.removeprefix("http://")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.replace("http://", "http://me:hidden-word@"))
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
            checks, account = run_checks(vendor_connector())
    assert passed(checks)
    assert account is not None
    assert account.code == "CSIM1A1"
    assert checks[0].state == "ok"
    assert checks[1].state == "warning"
    assert f"{VENDOR_HOST} answers through the proxy {proxy}" in checks[1].says
    assert "TLS-inspecting proxy" in checks[1].says
    assert AUTHORITY in checks[1].says
    assert "hidden-word" not in str(checks)


@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_authority_is_read_from_every_usual_variable(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    place = authority.pem
    if name == "SSL_CERT_DIR":
        place = tmp_path / "authorities"
        place.mkdir()
        (place / HASHED_NAME).symlink_to(authority.pem)
    with service() as running:
        certificate = authority.server_context(VENDOR_HOST)
        with inspecting_proxy(certificate, running.url.removeprefix("http://")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.setenv(name, str(place))
            checks, _ = run_checks(vendor_connector())
    assert passed(checks)
    assert checks[1].state == "warning"  # trusted, but by no public authority


@pytest.mark.parametrize("trusted", [True, False])
def test_public_authority_passes_only_if_it_is_installed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(authority.pem))
    with service() as running:
        certificate = authority.server_context(VENDOR_HOST)
        with inspecting_proxy(certificate, running.url.removeprefix("http://")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
            checks, _ = run_checks(vendor_connector())
    assert passed(checks) is trusted
    assert checks[1].state == ("ok" if trusted else "failed")
    assert AUTHORITY in checks[1].says
    assert trusted or "ca-certificates" in (checks[1].next_step or "")  # a machine without a store, not a proxy


def test_inspecting_proxy_with_an_untrusted_authority_fails_and_is_named(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service() as running:
        certificate = authority.server_context(VENDOR_HOST)
        with inspecting_proxy(certificate, running.url.removeprefix("http://")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            checks, _ = run_checks(vendor_connector())
        assert all("authorization" not in str(asked).lower() for asked in running.simulator.requests)
    assert [check.state for check in checks] == ["ok", "failed", *["skipped"] * 7]
    assert AUTHORITY in checks[1].says
    assert "TLS-inspecting proxy" in (checks[1].next_step or "")
    assert "SSL_CERT_FILE" in (checks[1].next_step or "")


@pytest.mark.parametrize(
    ("host", "life", "reason"),
    [
        ("other.example", timedelta(days=1), "another name"),
        (VENDOR_HOST, timedelta(days=-1), "not valid now"),
    ],
)
def test_invalid_certificate_fails_with_its_reason(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, host: str, life: timedelta, reason: str
) -> None:
    with inspecting_proxy(authority.server_context(host, life=life), "127.0.0.1:9") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
        checks, _ = run_checks(vendor_connector())
    assert checks[1].state == "failed"
    assert reason in checks[1].says


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [(b"407 Proxy Authentication Required", "HTTPS_PROXY"), (b"403 Forbidden", "403 Forbidden")],
)
def test_proxy_that_refuses_fails_with_its_answer(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, refusal: bytes, reason: str
) -> None:
    with inspecting_proxy(authority.server_context(VENDOR_HOST), "127.0.0.1:9", refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        checks, _ = run_checks(vendor_connector())
    assert checks[1].state == "failed"
    assert reason in checks[1].says


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_unreadable_authority_file_fails_and_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authority.pem"
    if content:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    checks, _ = run_checks(vendor_connector())
    assert checks[1].state == "failed"
    assert "SSL_CERT_FILE" in checks[1].says


@pytest.mark.parametrize("proxy", ["socks5://me:hidden@host:1080", "ftp://me:hidden@host", "http://me:hidden@host:x"])
def test_invalid_proxy_setting_fails_and_hides_the_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    checks, _ = run_checks(vendor_connector())
    assert checks[1].state == "failed"
    assert "HTTPS_PROXY" in checks[1].says
    assert "hidden" not in str(checks)


def test_host_name_that_does_not_resolve_fails() -> None:
    connector = connector_of("https://no-such-host.invalid", "2.0")
    checks, _ = run_checks(connector)
    assert checks[1].state == "failed"
    assert "no-such-host.invalid" in checks[1].says
