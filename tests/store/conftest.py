"""Stores of a temporary home."""

from pathlib import Path

import pytest

from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.scans import begun


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path)


@pytest.fixture
def new_store(tmp_path: Path) -> Store:
    """Created by the program, where `store` is a copy of one created before."""
    store = open_store(Settings(home=tmp_path))
    store.publish()
    return store
