"""Python's interval between two threads: short while a run's slices are read and loaded, then as it was."""

import sys

import pytest

from tasks.handover import prompt_handover


def test_the_interval_is_short_while_the_block_runs() -> None:
    usual = sys.getswitchinterval()
    with prompt_handover():
        assert sys.getswitchinterval() < usual / 10
    assert sys.getswitchinterval() == usual


def test_the_interval_is_as_it_was_after_an_error() -> None:
    usual = sys.getswitchinterval()
    with pytest.raises(KeyboardInterrupt), prompt_handover():
        raise KeyboardInterrupt
    assert sys.getswitchinterval() == usual
