import gc
import os
from collections.abc import Iterator

import pytest

# Before Prefect is imported: a line logged outside of a run is no reason for a warning, which is an error here.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two halves for two cores: the tests that need the Prefect API share it in one process, all others run beside.

    In one process alone they come last: Prefect's threads and log handlers stay until the end of the session.
    """
    for item in items:
        half = "prefect" if "prefect_api" in getattr(item, "fixturenames", ()) else "plain"
        item.add_marker(pytest.mark.xdist_group(half))
    items.sort(key=lambda item: "prefect_api" in getattr(item, "fixturenames", ()))


def pytest_unconfigure() -> None:
    """Hypothesis leaves a callback with the garbage collector, and DuckDB's types complain that they outlive Python."""
    gc.callbacks.clear()
