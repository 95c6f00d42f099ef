"""What a pull brings, from a Graph that pages, cuts, refuses and throttles."""

import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from starlette.responses import Response

from tasks.directory.model import Parsed
from tasks.entra.pull import pull
from tasks.errors import (
    AnswerNotUnderstood,
    PagingBroken,
    PermissionMissing,
    ServiceError,
    ServiceUnavailable,
    Stopped,
)
from tests.entra.asking import connector_of, device, group, guid, managed, member, pulled, user
from tests.entra.graph import PERMISSIONS, SECRET, Graph, error, throttled

pytestmark = pytest.mark.usefixtures("quick", "bare_network")

SOURCES = ["graph-users", "graph-groups", "graph-devices", "graph-managed-devices"]


def entra_ids(parsed: Parsed) -> set[str]:
    return set(parsed.objects["entra_id"])


def links(parsed: Parsed) -> set[tuple[str, str]]:
    """Device name and person, whatever the evidence."""
    names = parsed.devices.select("device_key", "device_name")
    return set(parsed.device_users.join(names, on="device_key").select("device_name", "ref").iter_rows())


def test_everything_in_pages(graph: Graph) -> None:
    graph.users = [user(number) for number in range(1, 6)]
    graph.groups = [group(number) for number in range(1, 26)]
    graph.members = {each["id"]: [member(number) for number in range(1, 6)] for each in graph.groups}
    graph.devices = [device(number) for number in range(1, 6)]
    graph.managed_devices = [managed(number) for number in range(1, 6)]
    before = datetime.now(UTC)
    found = pulled(graph)
    assert list(found) == SOURCES
    assert entra_ids(found["graph-users"]) == {guid(number) for number in range(1, 6)}
    assert "alias3@contoso.example" in set(found["graph-users"].addresses["address"])
    assert found["graph-groups"].members.height == 25 * 5
    assert links(found["graph-devices"]) == {(f"PC-{number}", guid(1)) for number in range(1, 6)}
    assert found["graph-managed-devices"].devices.height == 5
    assert all(not parsed.warnings for parsed in found.values())
    moments = {parsed.snapshot_at for parsed in found.values()}
    assert len(moments) == 1
    assert before <= (moments.pop() or before - timedelta(1)) <= datetime.now(UTC)


def test_members_are_asked_for_twenty_groups_at_a_time(graph: Graph) -> None:
    graph.users, graph.page_size = [user(1)], 100
    graph.groups = [group(number) for number in range(1, 26)]
    graph.members = {each["id"]: [member(1)] for each in graph.groups}
    pulled(graph)
    assert len([path for path in graph.asked if path.endswith("/$batch")]) == 2
    assert len(graph.paths("batch:/groups/")) == 25


def test_addresses_come_only_when_they_are_asked_for(graph: Graph) -> None:
    graph.users = [user(1)]
    pulled(graph)
    (path,) = graph.paths("/users?")
    for name in ("proxyAddresses", "otherMails", "onPremisesSecurityIdentifier", "accountEnabled", "$top=999"):
        assert name in path


def test_long_select_is_split(graph: Graph) -> None:
    graph.users, graph.longest_select = [user(number) for number in range(1, 6)], 20
    users = pulled(graph)["graph-users"]
    row = users.objects.filter(entra_id=guid(4)).row(0, named=True)
    assert (row["upn"], row["department"]) == ("user4@contoso.example", "Department 4")
    assert users.objects.height == 5
    assert "alias4@contoso.example" in set(users.addresses["address"])


def test_throttling_is_waited_out(graph: Graph) -> None:
    graph.users = [user(number) for number in range(1, 6)]
    graph.trouble = lambda path, nth: throttled(60) if path == "/users" and nth == 2 else None
    began = time.monotonic()
    assert pulled(graph)["graph-users"].objects.height == 5
    waited = time.monotonic() - began
    assert 60 * 0.0005 <= waited < 30  # the pace of the tests, not the 60 s asked for
    assert len(graph.paths("/users?")) == 4


def test_throttled_part_of_a_batch_is_requested_again(graph: Graph) -> None:
    graph.users, graph.groups = [user(1)], [group(number) for number in range(1, 6)]
    graph.members = {each["id"]: [member(1)] for each in graph.groups}
    unlucky = f"/groups/{guid(3, 1)}/transitiveMembers"
    graph.trouble = lambda path, nth: throttled(None) if path == unlucky and nth == 1 else None
    assert pulled(graph)["graph-groups"].members.height == 5
    assert len(graph.paths(unlucky)) == 2
    assert len(graph.paths("batch:")) == 6


def test_throttling_without_end_is_no_pull(graph: Graph) -> None:
    graph.users = [user(1)]
    graph.trouble = lambda path, _: throttled(600) if path == "/deviceManagement/managedDevices" else None
    with pytest.raises(ServiceUnavailable, match="request quota"):
        pulled(graph)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_service_error_is_retried_and_finally_ends_the_pull(graph: Graph, status: int) -> None:
    graph.users = [user(number) for number in range(1, 6)]
    graph.trouble = lambda path, nth: error(status, "", "") if path == "/users" and nth == 3 else None
    assert pulled(graph)["graph-users"].objects.height == 5
    graph.trouble = lambda path, _: error(status, "UnknownError", "") if path == "/devices" else None
    with pytest.raises(ServiceUnavailable, match=f"HTTP {status}"):
        pulled(graph)


def test_token_that_expires_during_the_pull_is_renewed(graph: Graph) -> None:
    graph.users = [user(number) for number in range(1, 8)]

    def expire(path: str, nth: int) -> Response | None:
        if path == "/users" and nth == 2:
            graph.tokens.clear()
        return None

    graph.trouble = expire
    assert pulled(graph)["graph-users"].objects.height == 7
    assert graph.issued == 2


def test_token_that_is_always_rejected_ends_the_pull(graph: Graph) -> None:
    graph.trouble = lambda *_: error(401, "InvalidAuthenticationToken", "Invalid audience.")
    with pytest.raises(Exception, match="refuses the token that was just issued"):
        pulled(graph)
    assert graph.issued == 2


def test_expired_page_restarts_the_listing_once(graph: Graph) -> None:
    graph.users = [user(number) for number in range(1, 6)]
    refuse = error(400, "Directory_ExpiredPageToken", "The specified page token value has expired.")
    graph.trouble = lambda path, nth: refuse if path == "/users" and nth == 3 else None
    assert sorted(pulled(graph)["graph-users"].objects["entra_id"]) == [guid(number) for number in range(1, 6)]
    graph.asked.clear()
    graph.trouble = lambda path, nth: refuse if path == "/users" and nth in (3, 6) else None
    with pytest.raises(ServiceError, match="page token"):
        pulled(graph)


@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda link: link.replace("127.0.0.1", "attacker.test"),
        lambda link: link.replace("http://127.0.0.1", "http://127.0.0.1@attacker.test"),
        lambda link: link.replace("http://127.0.0.1", "https://127.0.0.1"),
        lambda link: link.replace("http:", ""),
        lambda _: "http://[",
    ],
)
def test_link_to_another_host_is_not_followed(graph: Graph, elsewhere: object) -> None:
    graph.users, graph.next_link = [user(number) for number in range(1, 6)], elsewhere  # type: ignore[assignment]
    with pytest.raises(PagingBroken, match="next page"):
        pulled(graph)
    assert len(graph.paths("/users?")) == 1


def test_link_to_an_earlier_page_ends_the_pull(graph: Graph) -> None:
    graph.users = [user(number) for number in range(1, 6)]
    graph.next_link = lambda link: link.replace("skiptoken=4", "skiptoken=2")
    with pytest.raises(PagingBroken, match="twice after 4 objects"):
        pulled(graph)


@pytest.mark.parametrize(
    "body", ["{}", '{"value": {}}', '{"value": ["x"]}', '{"value": [], "@odata.nextLink": 7}', "[]", "<html>", '{"val']
)
def test_response_of_another_shape_is_an_error(graph: Graph, body: str) -> None:
    graph.trouble = lambda path, _: Response(body, media_type="application/json") if path == "/users" else None
    with pytest.raises(AnswerNotUnderstood):
        pulled(graph)


def test_error_with_status_200_is_an_error(graph: Graph) -> None:
    answer = error(200, "UnknownError", "something \x1b[31m broke")
    graph.trouble = lambda path, _: answer if path == "/users" else None
    with pytest.raises(ServiceError, match=r"something \\x1b\[31m broke"):
        pulled(graph)


def test_half_a_character_does_not_stop_the_pull(graph: Graph) -> None:
    body = json.dumps({"value": [user(1, displayName="A \ud83d")]})
    graph.trouble = lambda path, _: Response(body, media_type="application/json") if path == "/users" else None
    assert pulled(graph)["graph-users"].objects["display_name"].to_list() == ["A \ufffd"]


@pytest.mark.parametrize(
    ("missing", "source"),
    [("groups", "graph-groups"), ("devices", "graph-devices"), ("deviceManagement", "graph-managed-devices")],
)
def test_missing_permission_leaves_one_stream_out(
    graph: Graph, missing: str, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph.users = [user(1)]
    graph.roles -= {PERMISSIONS[missing]}
    found = pulled(graph)
    assert list(found) == [each for each in SOURCES if each != source]
    (warning,) = found["graph-users"].warnings
    assert PERMISSIONS[missing] in warning
    assert warning in caplog.text


def test_without_users_there_is_no_pull(graph: Graph) -> None:
    graph.roles -= {PERMISSIONS["users"]}
    with pytest.raises(PermissionMissing, match=r"User\.Read\.All.*Grant admin consent"):
        pulled(graph)
    assert graph.paths("/devices") == []


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "BadRequest", "Request not applicable to target tenant."),
        error(403, "Forbidden", "Application is not authorized to perform this operation."),
        error(401, "Unauthorized", "An error has occurred"),
    ],
)
def test_directory_without_intune_has_no_managed_devices(graph: Graph, answer: Response) -> None:
    graph.users, graph.devices = [user(1)], [device(1)]
    graph.trouble = lambda path, _: answer if path == "/deviceManagement/managedDevices" else None
    found = pulled(graph)
    assert list(found) == SOURCES[:3]
    assert "DeviceManagementManagedDevices.Read.All" in found["graph-users"].warnings[0]


def test_groups_that_hide_their_members_or_have_gone(graph: Graph) -> None:
    graph.users = [user(1)]
    graph.groups = [group(1, visibility="HiddenMembership"), group(2), group(3)]
    graph.members = {guid(2, 1): [member(1)]}
    graph.hidden_groups = {guid(1, 1)}
    groups = pulled(graph)["graph-groups"]
    assert entra_ids(groups) == {guid(1, 1), guid(2, 1)}
    assert any("1 groups hide their members" in warning for warning in groups.warnings)


def test_members_that_may_not_be_read_leave_the_groups_out(graph: Graph) -> None:
    graph.users, graph.groups, graph.hidden_groups = [user(1)], [group(1)], {guid(1, 1)}
    found = pulled(graph)
    assert "graph-groups" not in found
    assert "GroupMember.Read.All" in found["graph-users"].warnings[0]


def test_devices_that_an_expansion_cuts_are_asked_for_one_by_one(graph: Graph) -> None:
    graph.page_size, graph.users = 1_000, [user(1)]
    graph.devices = [device(1, users=23), device(2, users=0), device(3)]
    devices = pulled(graph)["graph-devices"]
    wanted = {("PC-1", guid(number)) for number in range(1, 24)} | {("PC-3", guid(1))}
    assert links(devices) == wanted
    assert len(graph.paths("batch:/devices")) == 1


def test_devices_that_an_expansion_leaves_out_are_asked_for_one_by_one(graph: Graph) -> None:
    graph.users, graph.devices = [user(1)], [device(number) for number in range(1, 6)]
    graph.expanded_records = 2
    assert links(pulled(graph)["graph-devices"]) == {(f"PC-{number}", guid(1)) for number in range(1, 6)}


def test_stopped_run_sends_no_more_requests(graph: Graph) -> None:
    graph.users, stop = [user(number) for number in range(1, 6)], threading.Event()

    def stopping(path: str, _: int) -> Response | None:
        stop.set()
        return None

    graph.trouble = stopping
    with pytest.raises(Stopped):
        pull(connector_of(graph), stop)
    assert len(graph.asked) == 1


def test_log_and_errors_contain_no_secret(graph: Graph, caplog: pytest.LogCaptureFixture) -> None:
    graph.users = [user(1)]
    with caplog.at_level(logging.DEBUG):
        pulled(graph)
        tokens = set(graph.tokens)
        with pytest.raises(Exception, match="AADSTS7000215") as caught:
            pulled(graph, client_secret="other-hush")
    said = caplog.text + str(caught.value) + repr(caught.value.__cause__) + repr(connector_of(graph))
    assert "HTTP Request" in caplog.text
    for secret in (SECRET, "other-hush", *tokens):
        assert secret not in said
