"""When a run replaces the published copy, by a store that only says how old and how large its copy is."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tasks.store.publish_policy import Publisher
from tasks.store.store import Store
from tests.scans import begun, load, scan

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Copies:
    """Stands for the store."""

    def __init__(self, age: timedelta | None = SECOND, *, may: bool = True) -> None:
        self.age, self.may, self.published = age, may, 0

    def publication_age(self) -> timedelta | None:
        return self.age

    def may_publish(self) -> bool:
        return self.may

    def publish(self) -> None:
        self.published += 1


def publisher(trigger: Any = "poll", **copy: Any) -> tuple[Publisher, Copies]:
    copies = Copies(**copy)
    return Publisher(cast(Store, copies), trigger), copies


@pytest.mark.parametrize(
    ("trigger", "age", "changed", "high", "at_once"),
    [
        ("poll", SECOND, True, False, False),
        ("poll", 31 * SECOND, True, False, True),
        ("poll", 31 * SECOND, False, False, False),
        ("poll", None, True, False, True),
        ("poll", SECOND, True, True, True),
        ("backfill", SECOND, True, True, False),
        ("backfill", 31 * SECOND, True, False, True),
    ],
)
def test_publication_after_slice(trigger: Any, age: timedelta | None, changed: bool, high: bool, at_once: bool) -> None:
    run, _ = publisher(trigger, age=age)
    assert run.after_slice(changed=changed, high=high) == at_once


def test_publication_is_delayed_unless_urgent() -> None:
    run, _ = publisher(age=5 * MINUTE, may=False)
    assert not run.after_slice(changed=True, high=False)
    assert run.after_slice(changed=True, high=True)


@pytest.mark.parametrize(
    ("trigger", "age", "slices", "turned", "published"),
    [
        ("poll", SECOND, [], False, 0),
        ("poll", SECOND, [False], False, 0),  # nothing new
        ("poll", SECOND, [True], False, 1),
        ("poll", SECOND, [False], True, 1),  # a failure or recovery
        ("poll", 16 * MINUTE, [False], False, 1),
        ("poll", 16 * MINUTE, [], False, 1),
        ("poll", None, [], False, 1),
        ("backfill", SECOND, [False], False, 1),  # coverage grew
        ("backfill", SECOND, [], False, 0),
    ],
)
def test_publication_at_end_of_run(
    trigger: Any, age: timedelta | None, slices: list[bool], turned: bool, published: int
) -> None:
    run, copies = publisher(trigger, age=age)
    for changed in slices:
        run.after_slice(changed=changed, high=False)
    run.at_end(health_changed=turned)
    assert copies.published == published


def test_nothing_pending_at_end_is_not_published_again() -> None:
    run, copies = publisher(age=31 * SECOND)
    assert run.after_slice(changed=True, high=False)
    copies.age = SECOND
    run.at_end(health_changed=False)
    assert copies.published == 0
    assert not run.after_slice(changed=True, high=False)
    run.at_end(health_changed=False)
    assert copies.published == 1


@pytest.mark.parametrize(
    ("megabytes", "age", "may"),
    [(290, SECOND, True), (310, SECOND, False), (310, 30 * SECOND, False), (310, 32 * SECOND, True)],
)
def test_larger_copy_is_published_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int, age: timedelta, may: bool
) -> None:
    store = begun(tmp_path)
    load(store, [[scan()]])
    store.published_path.chmod(0o600)
    os.truncate(store.published_path, megabytes * 1_000_000)  # a sparse file: no disk is used
    monkeypatch.setattr(store, "publication_age", lambda: age)
    assert store.may_publish() is may


def test_store_without_copy_may_publish(tmp_path: Path) -> None:
    store = begun(tmp_path / "home")
    store.published_path.unlink()
    assert store.publication_age() is None
    assert store.may_publish()
    assert store.published_revision() is None
