from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks import clock as machine_clock
from tasks.http import retry
from tasks.mimecast.connector import MimecastConnector
from tests.flows.site import MACHINE, Clock, PlainSite, Site, connector, noon, save
from tests.scans import prepare_home
from tests.simulator import Simulator, Switches, World, serve

MakeSite = Callable[..., Site]
MakePlainSite = Callable[..., PlainSite]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds take milliseconds."""
    monkeypatch.setattr(retry, "PACE", 0.0005)


@pytest.fixture(autouse=True, scope="package")
def machine() -> Iterator[None]:
    """Pulls of this process read a clock that a site can set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_clock, "now", MACHINE.now)
        yield


@pytest.fixture(autouse=True)
def real_time(machine: None) -> Iterator[None]:
    yield
    MACHINE.ahead = timedelta()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runs of one test keep their things."""
    monkeypatch.setenv("ATTACHMENT_ALERTS_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def make_site(prefect_api: None, home: Path) -> Iterator[MakeSite]:
    """Starts a simulator with these records and saves a connector; its clock shows noon unless told otherwise."""
    names: list[str] = []
    prepare_home(home)
    with ExitStack() as stack:

        def make(
            records: Any = (),
            generation: int = 2,
            *,
            at_noon: bool = True,
            switches: Switches | None = None,
            **fields: Any,
        ) -> Site:
            clock = Clock()
            world = records if isinstance(records, World) else World.of_records(records)
            world.clock = clock.now
            running = stack.enter_context(serve(Simulator(world, switches)))
            name = f"account-{len(names) + 1}"
            site = Site(home, name, running, clock)
            if at_noon:
                site.at(noon())
            save(name, connector(running, generation, **fields))
            names.append(name)
            return site

        yield make
    for name in names:
        MimecastConnector.delete(name)


@pytest.fixture
def make_plain_site(home: Path) -> Iterator[MakePlainSite]:
    """As `make_site`, for runs without Prefect."""
    prepare_home(home)
    with ExitStack() as stack:

        def make(records: Any = (), generation: int = 2, *, at_noon: bool = True, **fields: Any) -> PlainSite:
            clock = Clock()
            world = records if isinstance(records, World) else World.of_records(records)
            world.clock = clock.now
            running = stack.enter_context(serve(Simulator(world)))
            site = PlainSite(home, "account-1", running, clock, account=connector(running, generation, **fields))
            if at_noon:
                site.at(noon())
            return site

        yield make
