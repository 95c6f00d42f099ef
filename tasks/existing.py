"""A store that somebody has filled: what people change, they do not begin."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import SettingsError
from tasks.store.connection import Transaction
from tasks.store.store import Store


def must_exist(store: Store) -> None:
    """Refuse a home without a store: its name may be mistyped. Raises SettingsError."""
    if not store.path.exists():
        raise SettingsError(f"There is no {store.path}. Name the right --home, or poll a connector first.")


@contextmanager
def existing(store: Store) -> Iterator[Transaction]:
    """A transaction of what people change. Raises SettingsError."""
    must_exist(store)
    with store.transaction() as transaction:
        yield transaction
