"""The connection test: each thing that can be wrong has its line and its next step."""

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tasks.entra.check import run_checks
from tasks.entra.failure import SECRETS_PAGE
from tasks.http.check import Check, passed
from tasks.products import check_connector
from tests.entra.asking import connector_of, user
from tests.entra.conftest import make_keys
from tests.entra.graph import DIRECTORY, PERMISSIONS, SECRET, Graph, error, serve, throttled

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

NAMES = [
    "address", "host and TLS, sign-in", "host and TLS, Graph", "clock", "credentials", "key expiry",
    "reads users", "reads groups", "reads devices", "reads managed devices", "least permissions", "directory",
]  # fmt: skip
LOOPBACK = dict.fromkeys(NAMES[:3], "warning")  # another host, and without TLS


def outcome(graph: Graph, **changes: Any) -> dict[str, Check]:
    checks, _ = run_checks(connector_of(graph, **changes))
    assert [each.name for each in checks] == NAMES
    for each in checks:
        assert each.says
        assert SECRET not in f"{each.says} {each.next_step}"
        assert each.next_step or each.state in ("ok", "skipped")
    return {each.name: each for each in checks}


def states(checks: dict[str, Check]) -> dict[str, str]:
    return {each.name: each.state for each in checks.values() if each.state != "ok"}


def test_everything_fine(graph: Graph) -> None:
    graph.users = [user(1)]
    checks = outcome(graph)
    assert states(checks) == LOOPBACK
    found, account = check_connector(connector_of(graph))
    assert passed(found)
    assert account is not None
    assert (account.code, account.name) == (DIRECTORY, "Contoso \x1b[31m")
    assert checks["directory"].says == rf"Contoso \x1b[31m ({DIRECTORY})."


@pytest.mark.parametrize(
    ("stream", "name"),
    [("groups", "reads groups"), ("devices", "reads devices"), ("deviceManagement", "reads managed devices")],
)
def test_missing_permission_is_named_and_its_stream_left_out(graph: Graph, stream: str, name: str) -> None:
    permission = PERMISSIONS[stream]
    graph.roles -= {permission}
    checks = outcome(graph)
    assert states(checks) == LOOPBACK | {name: "warning"}
    assert permission in (checks[name].next_step or "")
    assert "left out" in checks[name].says
    assert passed(list(checks.values()))


def test_without_users_it_fails(graph: Graph) -> None:
    graph.roles -= {"User.Read.All"}
    checks = outcome(graph)
    assert states(checks) == LOOPBACK | {"reads users": "failed", "directory": "warning"}
    assert "Grant admin consent" in (checks["reads users"].next_step or "")
    assert not passed(list(checks.values()))


def test_granted_permission_without_effect_is_a_warning(graph: Graph) -> None:
    answer = error(400, "BadRequest", "Request not applicable to target tenant.")
    graph.trouble = lambda path, _: answer if path == "/deviceManagement/managedDevices" else None
    checks = outcome(graph)
    assert states(checks) == LOOPBACK | {NAMES[9]: "warning"}
    assert "licence" in (checks[NAMES[9]].next_step or "")


def test_more_permissions_than_needed(graph: Graph) -> None:
    graph.roles |= {"Directory.ReadWrite.All", "Member.Read.Hidden"}
    checks = outcome(graph)
    assert states(checks) == LOOPBACK | {"least permissions": "warning"}
    assert "Directory.ReadWrite.All" in checks["least permissions"].says


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (7000215, "Secret ID"),
        (700016, "client id"),
        (90002, "cloud"),
        (700027, "certificate"),
    ],
)
def test_refused_keys(graph: Graph, code: int, says: str) -> None:
    graph.sign_in_error = code
    checks = outcome(graph)
    assert checks["credentials"].state == "failed"
    assert says in checks["credentials"].says
    assert {checks[name].state for name in NAMES[5:]} == {"skipped"}
    assert not passed(list(checks.values()))


def test_expired_secret(graph: Graph) -> None:
    graph.sign_in_error = 7000222
    checks = outcome(graph)
    assert checks["key expiry"].state == "failed"
    assert checks["key expiry"].says == "The client secret has expired."
    assert checks["key expiry"].next_step == f"Make a new one: {SECRETS_PAGE}."
    assert not passed(list(checks.values()))


@pytest.mark.parametrize(("days", "state"), [(-1, "warning"), (13, "warning"), (15, "ok")])
def test_keys_that_end_soon(graph: Graph, days: int, state: str) -> None:
    ends = datetime.now(UTC) + timedelta(days=days, hours=1)
    checks = outcome(graph, key_expires_at=ends)
    assert checks["key expiry"].state == state
    assert f"{ends:%Y-%m-%d}" in checks["key expiry"].says


def test_next_step_for_a_saved_connector_names_its_rotation(graph: Graph) -> None:
    connector = connector_of(graph, key_expires_at=datetime.now(UTC) + timedelta(days=3))
    connector.saved_as = "directory-one"
    soon = {each.name: each for each in run_checks(connector)[0]}["key expiry"]
    graph.sign_in_error = 7000222
    ended = {each.name: each for each in run_checks(connector)[0]}["key expiry"]
    assert (soon.state, ended.state) == ("warning", "failed")
    for each in (soon, ended):
        assert "`attachment-alerts connectors rotate directory-one`" in (each.next_step or "")
    assert SECRETS_PAGE in (ended.next_step or "")


def test_certificate_that_expires_soon_is_a_warning(graph: Graph) -> None:
    keys = make_keys(days=5)
    graph.public_key, graph.thumbprint = keys.public_key, keys.thumbprint
    checks = outcome(graph, client_secret="", client_certificate=keys.pem)
    assert states(checks) == LOOPBACK | {"key expiry": "warning"}
    assert "certificate" in checks["credentials"].says


def test_wrong_clock_is_a_warning() -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with serve(Graph(date=ahead)) as graph:
        checks = outcome(graph)
        assert states(checks) == LOOPBACK | {"clock": "warning"}
        assert "behind" in checks["clock"].says
        graph.sign_in_error = 700024
        assert "clock first" in (outcome(graph)["credentials"].next_step or "")


@pytest.mark.parametrize("answer", [throttled(600), error(503, "", "")])
def test_service_error_fails_the_check(graph: Graph, answer: Any) -> None:
    graph.trouble = lambda path, _: answer if path == "/devices" else None
    checks = outcome(graph)
    assert states(checks) == LOOPBACK | {"reads devices": "failed"}
    assert not passed(list(checks.values()))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    graph = Graph(url=f"http://127.0.0.1:{port}")
    checks = outcome(graph)
    assert [checks[name].state for name in NAMES[1:3]] == ["failed"] * 2
    assert {checks[name].state for name in NAMES[3:]} == {"skipped"}


def test_address_check_sends_no_key(graph: Graph) -> None:
    graph.sign_in_error = 700016
    outcome(graph)
    assert graph.asked == []
