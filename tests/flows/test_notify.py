"""The flow that sends messages through notification blocks."""

import sys

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook, SendgridEmail
from prefect.states import Failed
from pydantic import SecretStr

from flows.notify import notify
from flows.runs.message_run import send
from tasks.errors import ServiceUnavailable, SettingsError

OPENED = {"group_id": "b04cd3c7-2111-0a22-00f5-2fa671933a17", "priority": "high", "tenant": "default"}


@pytest.mark.server
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


@pytest.mark.server
def test_secret_address_is_not_shown(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9/secret-part"
    CustomWebhookNotificationBlock(name="x", url=url, json_data={"text": "{{body}}"}).save("refused")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/refused")
    monkeypatch.setattr("flows.runs.message_run.send", send.with_options(retries=0))
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "(ConnectError)" in (state.message or "")
    assert "secret-part" not in (state.message or "")


@pytest.mark.server
def test_failure_of_an_apprise_block_is_detected(
    prefect_api: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="secretpart12345678901234567890").save("chat")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/chat")
    monkeypatch.setattr("flows.runs.message_run.send", send.with_options(retries=0))
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed() and "(NotificationError)" in (state.message or "")
    assert "secretpart" not in (state.message or "") + caplog.text


@pytest.mark.server
def test_block_with_missing_package_fails_with_the_reason(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    MattermostWebhook(hostname="127.0.0.1", port=9, token="a" * 26).save("unloadable")
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "mattermost-webhook/unloadable")
    monkeypatch.setitem(sys.modules, "apprise", None)  # as a package that is not installed, or hidden by another
    state = notify("attachment-alerts.group.opened", "group b04cd3c7", OPENED, return_state=True)
    assert state.is_failed()
    message = state.message or ""
    assert "mattermost-webhook/unloadable could not be loaded" in message and "apprise" in message


@pytest.mark.server
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
