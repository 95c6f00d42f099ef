"""Python's pace: brisk while a run's slices are read and loaded, then as it was."""

import gc
import sys
from collections.abc import Iterator

import pytest

from tasks.ingest.gil_tuning import OBJECTS, brisk


def pace() -> tuple[float, tuple[int, int, int]]:
    return sys.getswitchinterval(), gc.get_threshold()


@pytest.fixture
def usual() -> Iterator[tuple[float, tuple[int, int, int]]]:
    """That of a process of its own: these tests have set one already."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield pace()
    gc.set_threshold(*before)


def test_it_is_brisk_while_the_block_runs(usual: tuple[float, tuple[int, int, int]]) -> None:
    with brisk():
        interval, objects = pace()
        assert interval < usual[0] / 10
        assert objects == (OBJECTS, 10, 10)
    assert pace() == usual


def test_it_is_as_it_was_after_an_error(usual: tuple[float, tuple[int, int, int]]) -> None:
    with pytest.raises(KeyboardInterrupt), brisk():
        raise KeyboardInterrupt
    assert pace() == usual
