"""Regroup, replay and retention, killed between the last write and the commit: nothing is lost or done twice."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.maintenance.regroup import run_regroup
from tasks.maintenance.replay import run_replay
from tasks.maintenance.retention import run_retention
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tasks.triage.decision import Decision
from tasks.triage.decisions import decide
from tests.maintenance.test_replay import options
from tests.processes import line, process
from tests.scans import begun, content, load, reject, rows, scan

BOB = "bob@contoso.example"
OTHER_HASH = "cd" * 32
MAPS = {"priorities": "clean,high,Dangerous here,true,own", "responses": "hold,blocked"}
YEARS_LATER = datetime(2036, 1, 1, tzinfo=UTC)

CHANGES: dict[str, Callable[[Store], dict[str, Any]]] = {
    "regroup": lambda store: run_regroup(store, "hash+priority", 10, None, apply=True),
    "replay": lambda store: run_replay(store, options(store, **MAPS), apply=True),
    "retention": lambda store: run_retention(store, apply=True, now=YEARS_LATER)["removed"],
}


def of(home: Path) -> Store:
    return open_store(Settings(home=home))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which each of the changes has an effect."""
    home = tmp_path_factory.mktemp("prepared")
    store = begun(home)
    alone = scan(30, "unsafe", file_sha256=OTHER_HASH)
    lows = [scan(5, "safe", recipient=BOB), scan(6, "clean", recipient=BOB)]
    load(store, [[scan(0), scan(20, "unsafe"), scan(40), alone, *lows]], rejects=[reject("1")])
    group = rows(store, "SELECT group_id::VARCHAR FROM alert_groups WHERE file_sha256 = $hash", hash=OTHER_HASH)[0][0]
    decide(store, Decision("closed", "ann", "benign"), groups=[group])
    return home


def content_without_times(store: Store, since: datetime) -> dict[str, list[tuple[Any, ...]]]:
    """All content; times since the start of the test are equal."""

    def same(value: Any) -> Any:
        return "now" if isinstance(value, datetime) and value > since else value

    return {name: [tuple(map(same, row)) for row in found] for name, found in content(store).items()}


@pytest.mark.parametrize("name", CHANGES)
def test_killed_change_is_rolled_back_and_made_by_the_next_call(tmp_path: Path, prepared: Path, name: str) -> None:
    home, undisturbed = tmp_path / "site", tmp_path / "undisturbed"
    for each in (home, undisturbed):
        shutil.copytree(prepared, each)
    since, before, revision = datetime.now(UTC), content(of(prepared)), of(prepared).published_revision()
    script = f"""
        import signal
        from pathlib import Path
        from tasks.store.store import Connection
        from tests.maintenance.test_killed import CHANGES, of

        run = Connection.run

        def stop_before_the_commit(self, sql, *values, **frames):
            if "revision = revision + 1" in sql:  # the last write of a transaction with changes
                print("written", flush=True)
                signal.pause()
            run(self, sql, *values, **frames)

        Connection.run = stop_before_the_commit
        CHANGES[{name!r}](of(Path({str(home)!r})))
    """
    with process(script) as killed:
        assert line(killed) == "written"
        killed.kill()
    assert killed.returncode < 0
    assert content(of(home)) == before
    assert of(home).published_revision() == revision
    again, once = CHANGES[name](of(home)), CHANGES[name](of(undisturbed))
    assert again == once
    assert content_without_times(of(home), since) == content_without_times(of(undisturbed), since)
    assert of(home).published_revision() == of(undisturbed).published_revision() != revision
