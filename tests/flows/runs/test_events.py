"""The end of a run as events: sent once the server takes them, and by the next run where it does not."""

import sys

import httpx
import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook, SendgridEmail
from prefect.states import Failed
from pydantic import SecretStr

from flows.notify import notify, send
from flows.runs import events
from tasks.errors import ServiceUnavailable, SettingsError
from tests.flows.conftest import MakeSite
from tests.flows.site import noon, scan

OPENED = {"group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17", "priority": "high", "tenant": "default"}


def test_what_no_server_took_is_told_by_the_next_run(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site([scan(noon(), result="never seen")])
    untold = "SELECT count(*) FROM internal.notices WHERE told_at IS NULL"

    def gone(**_: object) -> None:
        raise httpx.ConnectError("nobody there")

    with monkeypatch.context() as patched:
        patched.setattr(events, "get_client", gone)
        site.later(minutes=2)
        assert site.poll().is_completed()
    assert site.stored(untold) == [(1,)]
    site.stored("UPDATE internal.notices SET claimed_at = claimed_at - INTERVAL 11 MINUTE")
    assert site.poll().is_completed()
    assert site.stored(untold) == [(0,)]


def test_notify_says_what_is_missing(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert (state.name, "names no notification block" in (state.message or "")) == ("Skipped", True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/nowhere")
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "no such block is saved" in (state.message or "")


def test_only_a_service_that_may_be_back_is_asked_again() -> None:
    for error, again in ((ServiceUnavailable("down"), True), (SettingsError("no such block"), False)):
        assert send.retry_condition_fn
        assert send.retry_condition_fn(send, None, Failed(data=error)) is again


def test_several_releases_are_a_message_each_until_the_block_refuses(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def deliver(block: CustomWebhookNotificationBlock, body: str, subject: str, **_: object) -> None:
        if len(sent) == limit:
            raise OSError
        sent.append(body)

    monkeypatch.setattr(CustomWebhookNotificationBlock, "notify", deliver)
    block = CustomWebhookNotificationBlock(name="x", url="http://127.0.0.1:9/")
    monkeypatch.setattr("flows.notify._block", lambda name: block)
    monkeypatch.setattr("flows.notify.send", send.with_options(retries=0))
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/x")
    facts = {"each": [OPENED | {"group_id": f"group-{number}"} for number in range(3)]}
    for limit, ending in ((3, "(3 messages): sent to"), (2, "1 of 3 messages were not sent.")):
        sent.clear()
        state = notify("attachment-alerts.attachment.released", "3 groups", facts, return_state=True)
        assert (len(set(sent)), ending in (state.message or "")) == (limit, True)
        assert state.is_failed() == (limit < 3)


def test_a_secret_address_is_in_no_message(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/secret-part"
    CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{body}}"}).save("refused", _sync=True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/refused")
    monkeypatch.setattr("flows.notify.send", send.with_options(retries=0))
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "could not send (ConnectError)" in (state.message or "")
    assert "secret-part" not in (state.message or "")


def test_a_block_that_says_nothing_of_its_failure_is_asked(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="secretpart12345678901234567890").save("chat", _sync=True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/chat")
    monkeypatch.setattr("flows.notify.send", send.with_options(retries=0))
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "could not send (NotificationError)" in (state.message or "")
    assert "secretpart" not in (state.message or "") + caplog.text


def test_a_block_that_cannot_be_loaded_is_a_failure_with_its_reason(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="a" * 26).save("unloadable", _sync=True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/unloadable")
    monkeypatch.setitem(sys.modules, "apprise", None)  # as a package that is not installed, or hidden by another
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed()
    message = state.message or ""
    assert "mattermost-webhook/unloadable could not be loaded" in message and "apprise" in message


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # apprise tries it
def test_a_wrong_key_in_a_block_is_not_shown(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved = SendgridEmail(api_key="a" * 32, sender_email="alerts@example.com", to_emails=["on-call@example.com"])
    saved.api_key = SecretStr("secret part")  # as typed in the UI, which takes any text
    saved.save("mistyped", _sync=True)
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "sendgrid-email/mistyped")
    caplog.clear()
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "sendgrid-email/mistyped has a value" in (state.message or "")
    assert "no such block" not in (state.message or "")
    assert "secret part" not in (state.message or "") + caplog.text
