"""The flow that sends messages through notification blocks."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook, SendgridEmail
from prefect.states import Failed
from pydantic import SecretStr

from flows.cli.app import main
from flows.directory import directory_import
from flows.notify import notify
from flows.runs.message_run import load_block, send, send_waiting
from flows.triage import allow_list_flow, triage
from tasks.errors import ServiceUnavailable, SettingsError
from tasks.notifications import waiting as waiting_messages
from tasks.settings import load_settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.flows.cli.command import Command
from tests.flows.conftest import MakeSite
from tests.scans import begun, load, rows, scan

pytestmark = pytest.mark.server

EVENT = UUID(int=5)
DIGEST = {"tenant": "default", "groups": 3, "high": 1, "changes": {"group_opened": 3}, "causes": {"backfill": 3}}
OPENED = {"group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17", "priority": "high", "tenant": "default"}


class Webhook:
    """A webhook of Slack's form on loopback, which answers with `status`."""

    def __init__(self) -> None:
        self.status, self.requests, self.texts = 200, 0, list[str]()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                webhook.requests += 1
                if webhook.status == 200:
                    webhook.texts.append(json.loads(body or b"{}").get("text"))
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def save(self, name: str, **fields: Any) -> str:
        url = f"http://127.0.0.1:{self.server.server_port}/secret-part"
        values = {"name": "x", "url": url, "json_data": {"text": "{{subject}}\n{{body}}"}}
        CustomWebhookNotificationBlock(**values | fields).save(name, overwrite=True)
        return f"custom-webhook/{name}"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()
    with made.server:
        Thread(target=made.server.serve_forever, daemon=True).start()
        yield made
        made.server.shutdown()


@pytest.fixture
def tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are tried once at a time: the repeats within a run take 70 s."""
    monkeypatch.setattr("flows.runs.message_run.send", send.with_options(retries=0))


@pytest.fixture
def store(prefect_api: None, home: Path, tried_once: None) -> Store:
    """A store, and notifications through blocks that are tried once each time."""
    return begun(home)


def waiting(store: Store) -> list[tuple[Any, ...]]:
    return rows(store, "SELECT block, attempts FROM waiting_messages ORDER BY ALL")


def let_time_pass(store: Store) -> None:
    with store.transaction() as transaction:
        transaction.run("UPDATE internal.messages SET next_attempt_at = now() - INTERVAL 1 SECOND")


@pytest.mark.usefixtures("tried_once")
def test_message_to_a_block_that_does_not_exist_yet_is_sent_by_a_later_poll(
    make_site: MakeSite, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site()
    assert site.poll().is_completed()
    store = site.store
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/created-later")
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, EVENT, return_state=True)
    assert state.is_failed()
    assert "1 message could not be sent yet" in (state.message or "")
    assert site.query("SELECT messages_waiting FROM connector_health") == [(1,)]
    with pytest.raises(SystemExit) as end:
        main(["health"])
    assert end.value.code == 1
    assert "1 message could not be sent yet" in capsys.readouterr().out
    site.later(minutes=2)
    assert "1 message could not be sent yet" in (site.poll().message or "")  # not due
    let_time_pass(store)
    site.later(minutes=2)
    assert "could not be sent" in (site.poll().message or "")
    assert waiting(store) == [("custom-webhook/created-later", 2)]
    webhook.save("created-later")
    let_time_pass(store)
    site.later(minutes=2)
    assert "could not be sent" not in (site.poll().message or "")
    [text] = webhook.texts
    assert text.startswith("New alert group, priority high") and "Delayed: first attempt" in text
    assert site.query("SELECT messages_waiting FROM connector_health") == [(0,)]


def test_messages_of_a_failing_service_are_sent_when_it_works_again(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest too. A message that succeeds sends those that wait, whatever their delay."""
    name = webhook.save("failing")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", name)
    webhook.status = 503
    assert notify("attachment-alerts.digest", "3 groups", DIGEST, EVENT, return_state=True).is_failed()
    assert notify("attachment-alerts.connector.lost", "acme", {}, UUID(int=6), return_state=True).is_failed()
    let_time_pass(store)
    assert send_waiting(open_store(load_settings())) == 2
    assert waiting(store) == [(name, 2)] * 2
    webhook.status = 200
    assert notify("attachment-alerts.connector.back", "acme", {}, UUID(int=7), return_state=True).is_completed()
    titles = [text.splitlines()[0] for text in webhook.texts]
    assert titles == ["Connection restored: acme", "3 alert groups, 1 of them high priority", "Connection lost: acme"]
    assert waiting(store) == []


def test_run_that_is_repeated_by_hand_sends_the_waiting_message_once(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", webhook.save("repeated"))
    webhook.status = 404
    for _ in range(2):
        assert notify("attachment-alerts.digest", "3 groups", DIGEST, EVENT, return_state=True).is_failed()
    assert len(waiting(store)) == 1
    webhook.status = 200
    assert notify("attachment-alerts.digest", "3 groups", DIGEST, EVENT, return_state=True).is_completed()
    assert (len(webhook.texts), waiting(store)) == (1, [])


def test_test_message_and_run_without_blocks_leave_nothing_waiting(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/nowhere")
    assert notify("attachment-alerts.connector.back", "a test", return_state=True).is_failed()
    assert waiting(store) == []
    assert notify("attachment-alerts.connector.back", "acme", {}, EVENT, return_state=True).is_failed()
    monkeypatch.delenv("ATTACHMENT_ALERTS_NOTIFY")
    assert send_waiting(open_store(load_settings())) == 1  # as in a shell without the setting: it keeps waiting


def test_flows_of_people_send_what_commands_have_left(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox's events and the messages that are due."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", webhook.save("people"))
    load(store, [[scan(0), scan(1, file_sha256="cd" * 32)]])
    first = rows(store, "SELECT group_id::VARCHAR FROM alert_groups ORDER BY ALL")[0][0]
    pending = "SELECT count(*) FROM internal.notices WHERE sent_at IS NULL AND cause = 'regroup'"
    actions: list[Callable[[], Any]] = [
        lambda: triage("ann", "in_progress", groups=first, return_state=True),
        lambda: allow_list_flow("ann", "add", "hash", "cd" * 32, "known", confirm=True, return_state=True),
        lambda: directory_import(return_state=True),
    ]
    for number, act in enumerate(actions):
        with store.transaction() as transaction:
            transaction.run(
                "UPDATE internal.notices SET sent_at = NULL, event_id = NULL, claimed_at = NULL, cause = 'regroup'"
            )
            waiting_messages.store_message(
                transaction, UUID(int=number), "custom-webhook/people", "x.lost", "acme", {}, "down", datetime.now(UTC)
            )
        let_time_pass(store)
        assert rows(store, pending) != [(0,)]
        state = act()
        assert state.is_completed(), state.message
        assert (rows(store, pending), waiting(store), len(webhook.texts)) == ([(0,)], [], number + 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"json_data": None},
        {"json_data": {}},
        {"json_data": {"text": "Something happened"}},
        {"json_data": None, "form_data": "", "headers": {"title": "{{subject}}"}},
        {"json_data": {"text": "{{Body}}"}},
    ],
)
def test_webhook_that_would_send_no_text_is_refused(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    """Its service would answer 200, and nobody would read anything."""
    name = webhook.save("empty", **fields | {"json_data": {}, "form_data": None})
    block = CustomWebhookNotificationBlock.load("empty")
    block.json_data, block.form_data = (
        fields["json_data"],
        fields.get("form_data"),
    )  # as in the UI, which takes any text
    block.save("empty", overwrite=True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", name)
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and name in (state.message or "")
    assert webhook.requests == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"json_data": None, "form_data": {"message": "{{body}}"}},
        {"json_data": None, "form_data": "{{ body }}"},
        {"json_data": None, "params": {"title": "{{subject}}"}},
        {"json_data": {"blocks": [{"text": {"text": "{{body}}"}}]}},
    ],
)
def test_webhook_with_text_in_another_form_is_accepted(prefect_api: None, fields: dict[str, Any]) -> None:
    CustomWebhookNotificationBlock(name="x", url="http://127.0.0.1:9", **fields).save("other-form", overwrite=True)
    assert load_block("custom-webhook/other-form").name == "x"


def test_notify_command_shows_what_arrives(
    store: Store, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = MattermostWebhook(hostname="127.0.0.1", port=webhook.server.server_port, token="secretpart" * 3)
    chat.save("tested", overwrite=True)
    names = [webhook.save("tested"), "mattermost-webhook/tested", "slack-webhook/missing"]
    command = Command(capsys)
    assert command("notify").status == 2
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", ",".join(names))
    shown = command("notify", "--test", "--json")
    deliveries = json.loads(shown.out)["blocks"]
    assert [(row["block"], row["sent"], row["answer"]) for row in deliveries] == [
        (names[0], True, "HTTP 200 OK"), (names[1], True, "HTTP 200"), (names[2], False, None)
    ]  # fmt: skip
    assert (shown.status, names[2] in deliveries[2]["error"]) == (1, True)
    assert webhook.texts[0] in deliveries[0]["content"].replace("\\n", "\n")
    assert len(webhook.texts) == 2 and all("Connection restored: test message" in text for text in webhook.texts)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", names[0])
    assert command("notify", "--test").status == 0
    webhook.status = 403
    refused = command("notify", "--test")
    assert (refused.status, "HTTP 403 Forbidden" in refused.out) == (1, True)
    assert "secret" not in shown.out + shown.err + refused.out + refused.err
    monkeypatch.delenv("ATTACHMENT_ALERTS_NOTIFY")
    assert command("notify", "--test").status == 1
    assert waiting(store) == []


def test_missing_setting_or_block_is_named(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert (state.name, "ATTACHMENT_ALERTS_NOTIFY" in (state.message or "")) == ("Skipped", True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/nowhere")
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "custom-webhook/nowhere" in (state.message or "")


def test_only_service_errors_are_retried() -> None:
    for error, again in ((ServiceUnavailable("down"), True), (SettingsError("no such block"), False)):
        assert send.retry_condition_fn
        assert send.retry_condition_fn(send, None, Failed(data=error)) is again


@pytest.mark.usefixtures("tried_once")
def test_secret_address_is_not_shown(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/secret-part"
    CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{body}}"}).save("refused")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/refused")
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "(ConnectError)" in (state.message or "")
    assert "secret-part" not in (state.message or "")


@pytest.mark.usefixtures("tried_once")
def test_failure_of_an_apprise_block_is_detected(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="secretpart12345678901234567890").save("chat")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/chat")
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "(NotificationError)" in (state.message or "")
    assert "secretpart" not in (state.message or "") + caplog.text


def test_block_with_missing_package_fails_with_the_reason(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="a" * 26).save("unloadable")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/unloadable")
    monkeypatch.setitem(sys.modules, "apprise", None)  # as a package that is not installed, or hidden by another
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed()
    message = state.message or ""
    assert "mattermost-webhook/unloadable could not be loaded" in message and "apprise" in message


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # apprise tries it
def test_rejected_key_of_a_block_is_not_shown(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved = SendgridEmail(api_key="a" * 32, sender_email="alerts@example.com", to_emails=["on-call@example.com"])
    saved.api_key = SecretStr("secret part")  # as typed in the UI, which takes any text
    saved.save("mistyped")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "sendgrid-email/mistyped")
    caplog.clear()
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "sendgrid-email/mistyped" in (state.message or "")
    assert "no such block" not in (state.message or "")
    assert "secret part" not in (state.message or "") + caplog.text
