"""Events of a run: sent when the server accepts them, else by the next run."""

import httpx
import pytest

from flows.runs import events
from tests.flows.conftest import MakeSite
from tests.flows.site import noon, scan

pytestmark = pytest.mark.server


def test_events_that_could_not_be_sent_are_sent_by_the_next_run(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site([scan(noon(), result="never seen")])
    pending = "SELECT count(*) FROM internal.notices WHERE sent_at IS NULL"

    def refuse(**_: object) -> None:
        raise httpx.ConnectError("refused")

    with monkeypatch.context() as patched:
        patched.setattr(events, "get_client", refuse)
        site.later(minutes=2)
        assert site.poll().is_completed()
    assert site.stored(pending) == [(1,)]
    site.stored("UPDATE internal.notices SET claimed_at = claimed_at - INTERVAL 11 MINUTE")
    assert site.poll().is_completed()
    assert site.stored(pending) == [(0,)]
