import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

# In memory where there is room: on a busy disk, tests of the store mostly waited for it to write.
if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 4e9:  # noqa: S108
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")  # noqa: S108

# Before polars is imported: frames of tests are small, and two threads cost more time to wake than they save.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# Before Prefect is imported: a line logged outside of a run is no reason for a warning.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

import pytest
from hypothesis import settings

from tests import leftovers

# Where tests are started in the background, a shell has SIGINT ignored; some send it to themselves.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Speed is judged in benchmarks, never here; CI tries the same examples each time.
settings.register_profile("usual", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("thorough", deadline=None, max_examples=5000)
settings.load_profile("usual")


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.add_cleanup(leftovers.watch())


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect API in a process of its own; takes 10 s to start, so only tests that need it ask for it."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - Prefect takes seconds to load
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415
    from prefect.settings import (  # noqa: PLC0415
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    from tasks.saved_connectors import register_block_types  # noqa: PLC0415
    from tests.server import running  # noqa: PLC0415

    own = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_LOGGING_TO_API_ENABLED: False,  # the test that reads logs there switches it on
    }
    with (
        running.api(running.own_environment(tmp_path_factory.mktemp("prefect"))) as url,
        temporary_settings({PREFECT_API_URL: url, **own}),
    ):
        register_block_types()
        yield
        # Queued log lines and events would otherwise be sent after the server has stopped.
        APILogWorker.drain_all()
        EventsWorker.drain_all()
