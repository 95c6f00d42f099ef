"""The simulator keeps the rules by which the vendor's API is known to work, over real HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tasks.errors import SettingsError
from tests.simulator import (
    V1_KEYS,
    Account,
    Fault,
    Simulator,
    Switches,
    World,
    fault_lines,
    faults_from,
    serve,
    switch_lines,
    switches_from,
    v1_keys,
)
from tests.simulator.asking import LOGS, Asking, asking, failure
from tests.simulator.credentials import signature
from tests.simulator.faults import Call

BOTH = pytest.mark.parametrize("generation", [1, 2])


@pytest.fixture(scope="module", params=[1, 2])
def client(request) -> Iterator[Asking]:
    """A simulator as it comes; nothing is changed about it."""
    with asking(request.param) as served:
        yield served


# Rules 1 and 2: who may ask


def test_signature_matches_the_published_vector():
    secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="
    request = "11111111-2222-4333-8444-555555555555"
    application = "00000000-1111-2222-3333-444444444444"
    signed = signature(secret, "Tue, 24 Nov 2015 12:50:11 UTC", request, LOGS, application)
    assert signed == "K1Fb3rKr97rLM5DgVDsMKio7FQM="


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"application_id": "INVALID"}, (200, "err_developer_key")),
        ({"application_key": "other"}, (401, "err_xdk_invalid_signature")),
        ({"access_key": "other"}, (401, "err_xdk_invalid_signature")),
        ({"secret_key": "AAAA"}, (401, "err_xdk_invalid_signature")),
        ({"application_id": "INVALID", "secret_key": "AAAA"}, (200, "err_developer_key")),
    ],
)
def test_wrong_keys_are_told_apart_as_little_as_the_vendor_does(wrong, expected):
    with asking(1) as client:
        client.keys |= wrong
        assert failure(client.logs()) == expected


def test_expiry_is_checked_before_permission_and_permission_before_the_body():
    for account, expected in (
        (Account.numbered(1, keys_expired=True, may_read_logs=False), (418, "err_xdk_binding_expired")),
        (Account.numbered(1, may_read_logs=False), (403, "err_xdk_operation_forbidden_for_address")),
    ):
        with asking(1, account=account) as client:
            assert failure(client.post(LOGS, "not a body")) == expected


def test_date_header_may_be_any_text_unless_the_skew_is_checked():
    stale = datetime.now(UTC) - timedelta(hours=1)
    with asking(1) as client:
        assert client.http.post(LOGS, headers=client.signed(LOGS, stale)).status_code == 200
        signed = client.signed(LOGS)
        signed["authorization"] = signed["authorization"].replace(":", ": ", 1)  # one client does so
        assert client.http.post(LOGS, headers=signed).status_code == 200
    with asking(1, switches=Switches(clock_skew_check=True)) as client:
        assert client.http.post(LOGS, headers=client.signed(LOGS, stale)).status_code == 401
        assert client.logs().status_code == 200


def test_several_key_sets_open_one_account_and_accounts_are_apart():
    account = Account.numbered(1, keys=(V1_KEYS, v1_keys(7)))
    with asking(1, account=account) as client:
        assert client.logs().status_code == 200
        token = client.logs(size=2).json()["meta"]["pagination"]["next"]
        client.keys = v1_keys(7)
        assert client.logs(token).json()["fail"] == []
        client.keys = v1_keys(2)
        assert client.logs(token).json()["fail"]
        assert [asked.account for asked in client.running.simulator.requests][-2:] == [
            account.code,
            "CSIM2A2",
        ]


# Rule 3: rate limit


@BOTH
def test_calls_are_counted_down_in_lower_case_headers_and_refused_when_used_up(generation):
    with asking(generation, switches=Switches(rate_limit=3, rate_window_ms=60_000)) as client:
        answers = [client.logs() for _ in range(4)]
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].content == b""
        resets = [int(answer.headers["x-ratelimit-reset"]) for answer in answers]
        assert 60_000 >= resets[0] >= resets[3] > 0
        assert b"x-ratelimit-limit" in dict(answers[0].headers.raw)


def test_unknown_keys_share_a_bucket_of_their_own_and_refusals_are_charged():
    with asking(1, switches=Switches(rate_limit=2, unknown_key_rate_limit=5_000)) as client:
        client.keys["access_key"] = "nobody"
        headers = [client.logs().headers for _ in range(2)]
        assert [int(h["x-ratelimit-remaining"]) for h in headers] == [4_999, 4_998]


@pytest.mark.parametrize(
    ("form", "name", "least"),
    [
        ("x-rate-limit-reset", "x-rate-limit-reset", 50_000),
        ("retry-after", "retry-after", 50),
        ("epoch-seconds", "x-ratelimit-reset", 1_700_000_000),
        ("epoch-milliseconds", "x-ratelimit-reset", 1_700_000_000_000),
    ],
)
def test_reset_header_in_other_spellings_and_units(form, name, least):
    switches = Switches(rate_limit=0, rate_window_ms=60_000, reset_header=form, rate_limit_body="fail")
    with asking(1, switches=switches) as client:
        answer = client.logs()
        assert answer.json() == {"fail": [], "meta": {"status": 429}, "data": []}
        assert least <= int(answer.headers[name]) < least * 10**6


# Rule 4: access tokens of API 2.0


def test_access_token_is_bare_oauth_for_a_form_only():
    with asking(2) as client:
        granted = client.token().json()
        assert granted.pop("access_token")
        assert granted == {"token_type": "Bearer", "expires_in": 1799, "scope": ""}
        form = {"grant_type": "client_credentials", **client.keys}
        assert client.http.post("/oauth/token", json=form).status_code == 400
        assert all(asked.body is None for asked in client.running.simulator.requests)


def test_old_access_tokens_stay_good_until_they_expire():
    with asking(2) as client:
        first = client.token().json()["access_token"]
        assert client.token().json()["access_token"] != first
        client.bearer = first
        assert client.logs().status_code == 200
        client.bearer = "made-up"
        assert failure(client.logs()) == (401, "unauthorized")
    with asking(2, switches=Switches(token_seconds=0)) as client:
        assert failure(client.logs()) == (401, "token_expired")


def test_wrong_client_secret_in_both_forms():
    for form, body in (("flat", "fail"), ("oauth", "error")):
        with asking(2, switches=Switches(bad_client_form=form)) as client:
            client.keys["client_secret"] = "wrong"
            assert client.token().status_code == 401
            assert body in client.token().json()


# Rule 5: methods, paths, strictness


def test_only_post_on_known_paths(client):
    assert client.http.get(LOGS).status_code == 405
    assert client.http.head("/oauth/token").status_code == 405
    assert client.post("/api/unknown", {}).status_code == 404
    assert "x-ratelimit-limit" in client.http.get("/").headers


def test_python_notation_is_read_by_the_first_generation_only():
    body = "{'data': [{'from': '2024-11-17T00:00:00Z', 'oldestFirst': False}]}"
    for generation, status in ((1, 200), (2, 400)):
        with asking(generation) as client:
            assert client.post(LOGS, body).status_code == status
            assert client.post(LOGS, "[1").status_code == 400
    with asking(1, switches=Switches(v1_python_bodies=False)) as client:
        assert client.post(LOGS, body).status_code == 400


# Beside the rules


@BOTH
def test_account_and_discovery(generation):
    account = Account.numbered(1, may_read_account=False)
    with asking(generation) as client:
        assert client.post("/api/account/get-account", {}).json()["data"][0]["accountCode"] == account.code
        ask = {"data": [{"emailAddress": "ada.brandt@contoso.example"}]}
        found = client.http.post("/api/login/discover-authentication", json=ask).json()["data"][0]
        assert found["region"]["api"] == client.running.url
        stranger = {"data": [{"emailAddress": "x@example.com"}]}
        unknown = client.http.post("/api/login/discover-authentication", json=stranger)
        assert "region" not in unknown.json()["data"][0]
    with asking(generation, account=account) as client:
        assert client.post("/api/account/get-account", {}).status_code == 403


def test_requests_are_remembered_as_asked():
    with asking(1) as client:
        client.logs(size=5)
        asked = client.running.simulator.requests[-1]
        assert (asked.path, asked.status, asked.generation, asked.account) == (LOGS, 200, 1, "CSIM1A1")
        assert asked.body["meta"]["pagination"] == {"pageSize": 5}
        assert json.dumps(asked.body)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com"])  # noqa: S104 - refused
def test_serves_on_loopback_only(host):
    with pytest.raises(SettingsError, match="loopback"), serve(Simulator(World()), host=host):
        pass


def test_port_in_use_is_an_error_that_says_so():
    with asking() as client:
        port = int(client.running.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match=str(port)), serve(Simulator(World()), port=port):
            pass


def test_switches_and_faults_can_be_typed():
    assert switches_from(["to_inclusive=false", "rate_limit=5", "reset_header=retry-after"]) == Switches(
        to_inclusive=False, rate_limit=5, reset_header="retry-after"
    )
    faults = faults_from(["500", "429,times=all,after=1,seconds=0.1,path=/x"])
    calls = [Call(LOGS, 1, False), *[Call("/x", 1, False)] * 4]
    assert [plan and plan.fault for plan in map(faults.take, calls)] == ["500", None, "429", "429", "429"]
    assert {line.name for line in fault_lines()} == set(Fault)
    lines = {line.name: line for line in switch_lines()}
    assert lines["to_inclusive"].choices == "true|false, default true"
    assert all(line.doc for line in [*lines.values(), *fault_lines()])


@pytest.mark.parametrize("option", ["gravity=9", "to_inclusive", "to_inclusive=perhaps", "empty_form=none"])
def test_wrong_switches_are_refused(option):
    with pytest.raises(SettingsError):
        switches_from([option])


@pytest.mark.parametrize("option", ["fire", "500,when=now", "500,times=often"])
def test_wrong_faults_are_refused(option):
    with pytest.raises(SettingsError):
        faults_from([option])
