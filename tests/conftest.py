import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Before Prefect is imported: a line logged outside of a run is no reason for a warning, which is an error here.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

# Speed is judged in benchmarks, never here; CI tries the same examples each time.
settings.register_profile("usual", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("usual")

SERVERS_OF_THEIR_OWN = ("test_demo.py",)


@pytest.fixture(scope="session")
def prefect_api() -> Iterator[None]:
    """A Prefect API of its own, 15 s to start: asked for by name, never by all."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415

    with (
        prefect_test_harness(server_startup_timeout=180),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need the Prefect API come first for two processes, being the longer half, and else last.

    Last, because Prefect's threads and log handlers stay until the end of the session.
    """
    shared = hasattr(config, "workerinput")
    items.sort(key=lambda item: _half(item.nodeid) == "prefect", reverse=shared)


class TwoHalves(LoadScopeScheduling):
    """Files that need the Prefect API share one process and its one server; all others are run beside, by file."""

    def _split_scope(self, nodeid: str) -> str:
        return _half(nodeid)


def _half(nodeid: str) -> str:
    file = Path(nodeid.partition("::")[0])
    needs_api = file.parent.name == "flows" and file.name not in SERVERS_OF_THEIR_OWN
    return "prefect" if needs_api or file.name == "test_connectors.py" else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoHalves:
    return TwoHalves(config, log)


def pytest_unconfigure() -> None:
    """Hypothesis leaves a callback with the garbage collector, and DuckDB's types complain that they outlive Python."""
    gc.callbacks.clear()
