import asyncio
import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

# In memory where there is room: on a busy disk, tests of the store mostly waited for it to write.
if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 4e9:  # noqa: S108
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")  # noqa: S108

# Before polars is imported: frames of tests are small, and two threads cost more time to wake than they save.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import certifi
import pytest
import uvicorn.server
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# Where tests are started in the background, a shell has SIGINT ignored; some send it to themselves.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Processes of the tests, these here included, need not compile this project and its tests each for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Of 700 new objects, the usual number, few are garbage: looking for it took 4 % of all the time.
gc.set_threshold(50_000)

# Before Prefect is imported: a line logged outside of a run is no reason for a warning, which is an error here.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")

# Speed is judged in benchmarks, never here; CI tries the same examples each time.
settings.register_profile("usual", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile("usual")

WITHOUT_API = (
    "test_app.py",
    "test_demo.py",
    "test_faults.py",
    "test_groups_view.py",
    "test_markdown_format.py",
    "test_pages.py",
    "test_child_process.py",
    "test_supervisor.py",
    "test_login.py",
)  # of tests/flows


@pytest.fixture(scope="session", autouse=True)
def simulators_end_at_once() -> Iterator[None]:
    """uvicorn looks ten times a second whether it is to end, and so each test with a simulator would wait twice."""

    async def nap(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": nap}))
        yield


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect API of its own, 10 s to start: asked for by name, never by all.

    Prefect's own harness would import the whole server into this process, too, which takes four more seconds.
    """
    from prefect import results  # noqa: PLC0415
    from prefect.context import _temporary_global_settings_context, get_settings_context  # noqa: PLC0415
    from prefect.settings import (  # noqa: PLC0415
        PREFECT_API_SSL_CERT_FILE,
        PREFECT_API_URL,
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    from tasks.products import PRODUCTS  # noqa: PLC0415
    from tasks.saved_connectors import register_block_types  # noqa: PLC0415
    from tests.server import running  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("prefect")
    # Every call of Prefect's API reads all authorities of the world, in 20 ms; nobody needs any of them here.
    authority = folder / "authority.pem"
    authority.write_text(Path(certifi.where()).read_text(encoding="utf-8").partition("-\n\n")[0] + "-\n")
    own = {
        PREFECT_API_SSL_CERT_FILE: str(authority),
        PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,  # each client would ask for a token, and get none
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_LOGGING_TO_API_ENABLED: False,  # the test that reads logs there switches it on
    }
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    tables = shared / "prefect.db"
    if tables.exists():
        (folder / "prefect").mkdir()
        shutil.copyfile(tables, folder / "prefect" / "prefect.db")
    with (
        running.api(running.own_environment(folder)) as url,
        temporary_settings({PREFECT_API_URL: url, **own}),
        _temporary_global_settings_context(get_settings_context()),  # also for threads that began before
        pytest.MonkeyPatch.context() as patch,
    ):
        running.keep_tables(folder, tables)  # half of the time of a start, for the next process of this session
        # Each save would make the form known anew, by a client of its own; this API knows both from now on.
        register_block_types()
        # Each run would ask three times where its results go; they are not kept.
        patch.setattr(results, "_read_server_default_result_storage_block_id", lambda: None)
        for cls in (each.connector for each in PRODUCTS.values()):
            patch.setattr(cls, "register_type_and_schema", lambda *_, **__: None)
        yield
        _send_what_waits()


def _send_what_waits() -> None:
    """Log lines and events that would look for the server after its end."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all()
    EventsWorker.drain_all()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the Prefect API come last: Prefect's threads and log handlers stay until the session's end."""
    items.sort(key=lambda item: _needs_api(item.nodeid))


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it each time."""
    gc.collect()
    gc.freeze()


class PrefectApart(LoadScopeScheduling):
    """By file. The first process takes files that need the Prefect API, the others take the rest.

    Each starts one API at most; who has none of its own files left helps with the others.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        first = node is self.nodes[0]
        own = next((file for file in self.workqueue if _needs_api(file) == first), None)
        if own:
            self.workqueue.move_to_end(own, last=False)
        super()._assign_work_unit(node)


def _needs_api(nodeid: str) -> bool:
    file = Path(nodeid.partition("::")[0])
    return (
        file.is_relative_to("tests/flows") and file.name not in WITHOUT_API
    ) or file.name == "test_saved_connectors.py"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> PrefectApart:
    return PrefectApart(config, log)


def pytest_unconfigure() -> None:
    """DuckDB's types complain where they outlive Python: kept by the callback that Hypothesis leaves, or frozen."""
    gc.callbacks.clear()
    gc.unfreeze()
