"""The end of a run as events: sent once the server takes them, and by the next run where it does not."""

import httpx
import pytest

from flows.runs import events
from tests.flows.conftest import MakeSite
from tests.flows.site import noon, scan

pytestmark = pytest.mark.server


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
