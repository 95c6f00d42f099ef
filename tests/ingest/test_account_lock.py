"""Whose turn it is, between runs that are processes of their own; here: objects of their own, and one real process."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest

from tasks.errors import Stopped
from tasks.ingest import account_lock
from tasks.ingest.account_lock import Turn, TurnTaken
from tasks.settings import CHECKOUT

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_lock, "STEP", 0.05)


def run_of(home: Path, account: UUID = ACCOUNT, stop: threading.Event | None = None) -> Turn:
    return Turn(home, account, stop or threading.Event())


def in_thread(what: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=what, args=arguments)  # type: ignore[arg-type]
    thread.start()
    return thread


def until(holds: object) -> None:
    for _ in range(3000):
        if holds():  # type: ignore[operator]
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


def test_one_at_a_time_per_account(tmp_path: Path) -> None:
    first, second = run_of(tmp_path), run_of(tmp_path)
    first.take(None)
    with pytest.raises(TurnTaken, match="this one was skipped"):
        second.take(0.2)
    run_of(tmp_path, OTHER).take(0)
    first.release()
    second.take(0)
    second.release()
    second.release()


def test_who_was_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    first, second = run_of(tmp_path), run_of(tmp_path)
    first.take(None)
    for _ in range(2):
        with pytest.raises(TurnTaken):
            second.take(0.1)
        assert not first.wanted()


def test_a_backfill_gives_way_between_slices_and_goes_on_after(tmp_path: Path) -> None:
    told: list[str] = []
    backfill, poll = run_of(tmp_path), run_of(tmp_path)
    backfill.take(None)
    assert not backfill.wanted()

    def polling() -> None:
        poll.take(60)
        told.append("poll")
        time.sleep(0.2)
        told.append("poll is done")
        poll.release()

    thread = in_thread(polling)
    until(backfill.wanted)
    assert told == []
    backfill.give_way()
    told.append("backfill")
    thread.join()
    assert told == ["poll", "poll is done", "backfill"]
    assert not backfill.wanted()
    with pytest.raises(TurnTaken):
        run_of(tmp_path).take(0.1)


def test_the_third_waits_behind_the_second(tmp_path: Path) -> None:
    told: list[str] = []
    first, second, third = (run_of(tmp_path) for _ in range(3))
    first.take(None)

    def take(name: str, one: Turn) -> None:
        one.take(None)
        told.append(name)

    waiting = in_thread(take, "second", second)
    until(first.wanted)
    behind = in_thread(take, "third", third)
    time.sleep(0.15)
    first.release()
    waiting.join()
    assert told == ["second"]
    until(second.wanted)
    second.release()
    behind.join()
    assert told == ["second", "third"]


def test_a_run_that_is_stopped_stops_waiting(tmp_path: Path) -> None:
    stop = threading.Event()
    first, second = run_of(tmp_path), run_of(tmp_path, stop=stop)
    first.take(None)
    stop.set()
    with pytest.raises(Stopped):
        second.take(None)
    assert not first.wanted()


def test_the_turn_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time; from pathlib import Path; from uuid import UUID\n"
        "from tasks.ingest.account_lock import Turn\n"
        "mine = Turn(Path(sys.argv[1]), UUID(int=1), threading.Event()); mine.take(None)\n"
        "print('taken', flush=True); time.sleep(60)"
    )
    call = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        try:
            with pytest.raises(TurnTaken):
                run_of(tmp_path).take(0.1)
        finally:
            process.kill()
    run_of(tmp_path).take(30)


def test_only_the_owner_reads_the_locks(tmp_path: Path) -> None:
    run_of(tmp_path).take(None)
    assert all(file.stat().st_mode & 0o077 == 0 for file in [tmp_path / "locks", *(tmp_path / "locks").iterdir()])
