"""Locks of accounts, between runs that are processes; here: between objects, and one real process."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest

from tasks.errors import Stopped
from tasks.settings import CHECKOUT
from tasks.store import account_lock
from tasks.store.account_lock import FileAccountLock
from tasks.store.store import AccountBusy

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_lock, "STEP", 0.05)


def run_of(home: Path, account: UUID = ACCOUNT, stop: threading.Event | None = None) -> FileAccountLock:
    return FileAccountLock(home / "locks", account, stop or threading.Event())


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


def test_account_lock_is_exclusive_per_account(tmp_path: Path) -> None:
    first, second = run_of(tmp_path), run_of(tmp_path)
    first.acquire(None)
    with pytest.raises(AccountBusy, match="this one was skipped"):
        second.acquire(0.2)
    run_of(tmp_path, OTHER).acquire(0)
    first.release()
    second.acquire(0)
    second.release()
    second.release()


def test_refused_run_leaves_no_lock(tmp_path: Path) -> None:
    first, second = run_of(tmp_path), run_of(tmp_path)
    first.acquire(None)
    for _ in range(2):
        with pytest.raises(AccountBusy):
            second.acquire(0.1)
        assert not first.is_wanted()


def test_backfill_gives_way_between_slices(tmp_path: Path) -> None:
    told: list[str] = []
    backfill, poll = run_of(tmp_path), run_of(tmp_path)
    backfill.acquire(None)
    assert not backfill.is_wanted()

    def polling() -> None:
        poll.acquire(60)
        told.append("poll")
        time.sleep(0.2)
        told.append("poll is done")
        poll.release()

    thread = in_thread(polling)
    until(backfill.is_wanted)
    assert told == []
    backfill.give_way()
    told.append("backfill")
    thread.join()
    assert told == ["poll", "poll is done", "backfill"]
    assert not backfill.is_wanted()
    with pytest.raises(AccountBusy):
        run_of(tmp_path).acquire(0.1)


def test_third_run_waits_behind_second(tmp_path: Path) -> None:
    told: list[str] = []
    first, second, third = (run_of(tmp_path) for _ in range(3))
    first.acquire(None)

    def take(name: str, one: FileAccountLock) -> None:
        one.acquire(None)
        told.append(name)

    waiting = in_thread(take, "second", second)
    until(first.is_wanted)
    behind = in_thread(take, "third", third)
    time.sleep(0.15)
    first.release()
    waiting.join()
    assert told == ["second"]
    until(second.is_wanted)
    second.release()
    behind.join()
    assert told == ["second", "third"]


def test_stopped_run_stops_waiting(tmp_path: Path) -> None:
    stop = threading.Event()
    first, second = run_of(tmp_path), run_of(tmp_path, stop=stop)
    first.acquire(None)
    stop.set()
    with pytest.raises(Stopped):
        second.acquire(None)
    assert not first.is_wanted()


def test_account_lock_of_killed_process_is_released(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time; from pathlib import Path; from uuid import UUID\n"
        "from tasks.store.account_lock import FileAccountLock\n"
        "mine = FileAccountLock(Path(sys.argv[1]) / 'locks', UUID(int=1), threading.Event()); mine.acquire(None)\n"
        "print('taken', flush=True); time.sleep(60)"
    )
    call = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        try:
            with pytest.raises(AccountBusy):
                run_of(tmp_path).acquire(0.1)
        finally:
            process.kill()
    run_of(tmp_path).acquire(30)


def test_lock_files_are_private(tmp_path: Path) -> None:
    run_of(tmp_path).acquire(None)
    assert all(file.stat().st_mode & 0o077 == 0 for file in [tmp_path / "locks", *(tmp_path / "locks").iterdir()])
