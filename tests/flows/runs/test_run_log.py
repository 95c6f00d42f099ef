"""What a run writes to its log when something fails."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect import flow, task

from flows.connectors import test_connection as connection_test
from flows.notify import notify
from tasks.errors import AlertsError, SettingsError
from tests.flows.conftest import MakeSite

pytestmark = pytest.mark.server


@contextmanager
def log_of_runs() -> Iterator[list[logging.LogRecord]]:
    """Records of flow and task runs."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield records
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def errors(records: list[logging.LogRecord]) -> list[tuple[str, bool]]:
    """Each error, and whether it has a traceback."""
    return [(each.getMessage(), bool(each.exc_info)) for each in records if each.levelno >= logging.ERROR]


def test_missing_notification_block_leaves_no_traceback(prefect_api: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTACHMENT_ALERTS_NOTIFY", "custom-webhook/nowhere")
    with log_of_runs() as records:
        state: Any = notify("attachment-alerts.group.opened", "group x", {"group_id": "x"}, return_state=True)
    assert state.is_failed()
    found = errors(records)
    assert any("custom-webhook/nowhere" in text for text, _ in found)
    assert [text for text, traceback in found if traceback] == []


def test_unknown_connector_leaves_no_traceback(prefect_api: None) -> None:
    with log_of_runs() as records:
        state: Any = connection_test("nowhere", return_state=True)
    assert state.is_failed()
    found = errors(records)
    assert any("nowhere" in text for text, _ in found)
    assert [text for text, traceback in found if traceback] == []


def test_refused_keys_leave_no_traceback(make_site: MakeSite) -> None:
    site = make_site(client_secret="wrong")
    with log_of_runs() as records:
        assert site.poll().is_failed()
    assert [text for text, traceback in errors(records) if traceback] == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [(SettingsError("x"), False), (PermissionError(13, "no"), False), (AlertsError("x"), False), (KeyError("x"), True)],
    ids=lambda value: type(value).__name__,
)
def test_only_a_defect_has_a_traceback(error: Exception, expected: bool, prefect_api: None) -> None:
    @task
    def fail() -> None:
        raise error

    @flow
    def run() -> None:
        fail()

    with log_of_runs() as records:
        run(return_state=True)
    assert {traceback for _, traceback in errors(records) if _.startswith("Task run failed")} == {expected}
