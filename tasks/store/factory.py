"""Which implementation of the store the settings ask for."""

from tasks.settings import Settings
from tasks.store.embedded import EmbeddedStore
from tasks.store.store import Store


def open_store(settings: Settings) -> Store:
    return EmbeddedStore(settings)
