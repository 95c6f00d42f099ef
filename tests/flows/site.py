"""A site as a flow test needs one: a home, a simulated account with a clock of its own, a saved connector."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import polars as pl
from prefect.client.schemas.objects import State

from flows.artifacts.run_context import RunContext
from flows.mimecast import mimecast as poll
from flows.mimecast import mimecast_backfill as backfill
from flows.runs.engine import Engine
from flows.runs.pull import backfill as plain_backfill
from flows.runs.pull import poll as plain_poll
from tasks.ingest.run_stats import RunStats
from tasks.mimecast.connector import MimecastConnector
from tasks.saved_connectors import load_connector, save_connector
from tasks.settings import Settings
from tasks.store.factory import open_store
from tasks.store.store import Store
from tests.simulator import Account, Faults, Running, Simulator, World

CONNECTOR_ID = UUID("6d1f6f53-5d0c-4c5b-9a8e-2f6a0c1b7e55")

# What a run leaves behind even when nothing new came, and what depends on when it came.
OF_RUNS = ("windows", "coverage", "coverage_gaps", "connector_health", "published")
OF_MOMENTS = (
    "fetched_at", "first_loaded_at", "last_changed_at", "raised_at", "cleared_at", "seen_at", "since", "at",
    "first_seen_at", "last_seen_at", "resolved_at",
)  # fmt: skip


def noon() -> datetime:
    """The next noon: the hours before it are one slice, whatever the time at which tests run."""
    now = datetime.now(UTC)
    today = now.replace(hour=12, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


@dataclass
class Clock:
    """A clock that is ahead of the real one by `ahead`."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


MACHINE = Clock()
"""This machine's, as pulls read it."""


@dataclass
class Site:
    """One home and one saved connector of a simulated account."""

    home: Path
    name: str
    running: Running
    clock: Clock
    connectors: list[str] = field(default_factory=list)

    @property
    def simulator(self) -> Simulator:
        return self.running.simulator

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def faults(self) -> Faults:
        return self.simulator.faults

    @property
    def store(self) -> Store:
        return open_store(Settings(home=self.home))

    def poll(self) -> State[Any]:
        return poll(self.name, return_state=True)

    def backfill(
        self, start: datetime, end: datetime, what: Literal["missing", "everything"] = "missing"
    ) -> State[Any]:
        return backfill(self.name, start, end, what, return_state=True)

    def pull(self, connector: MimecastConnector) -> RunStats:
        """A poll without Prefect, of a connector that need not be saved. Raises AlertsError."""
        with ThreadPoolExecutor() as threads:
            engine = Engine(lambda _, work: threads.submit(work))
            return plain_poll(RunContext(self.name, "poll"), connector, engine)

    def at(self, moment: datetime) -> None:
        """Set the service's clock and this machine's."""
        MACHINE.ahead = moment - datetime.now(UTC)
        self.service_at(moment)

    def service_at(self, moment: datetime) -> None:
        """Set the service's clock only."""
        self.clock.ahead = moment - datetime.now(UTC)
        self.report_time(self.clock.ahead)

    def report_time(self, ahead: timedelta) -> None:
        """Make the service's answers report a time that is so far ahead of the real one."""
        self.simulator.switches = replace(self.simulator.switches, server_time_offset=ahead.total_seconds())

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.at(self.clock.now() + timedelta(**by))

    def query(self, sql: str, **facts: Any) -> list[tuple[Any, ...]]:
        """Ask the published file."""
        with self.store.reader() as reader:
            return reader.rows(sql, facts or None)

    def stored(self, sql: str, **facts: Any) -> list[tuple[Any, ...]]:
        """Ask the program's own file: also what is not published yet."""
        with self.store.transaction() as transaction:
            return transaction.rows(sql, facts or None)

    def windows(self) -> list[tuple[Any, ...]]:
        """trigger, state, start, end of all attempts, in order."""
        return self.stored("SELECT trigger, state, start_at, end_at FROM windows ORDER BY started_at, start_at")

    def health(self) -> tuple[Any, ...]:
        """state, consecutive failures, last error"""
        sql = "SELECT state, consecutive_failures, last_error FROM connector_health WHERE connector = $name"
        return self.query(sql, name=self.name)[0]

    def watermark(self) -> datetime:
        sql = "SELECT watermark FROM connector_health WHERE connector = $name"
        moment: datetime = self.stored(sql, name=self.name)[0][0]
        return moment

    def tables(self, *, moments: bool = True) -> dict[str, pl.DataFrame]:
        """Every relation, sorted; without what a run leaves behind even when nothing new came.

        `moments=False`: also without when things came, for comparing what two different runs brought.
        """
        found = {}
        with self.store.reader() as reader:
            names = reader.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'")
            tables = reader.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
            for (name,) in [*names, *tables]:
                if name not in OF_RUNS:
                    frame = reader.frame(f"SELECT * FROM {name} ORDER BY ALL")
                    found[name] = frame if moments else frame.drop(OF_MOMENTS, strict=False)
        return found


@dataclass
class PlainSite(Site):
    """A site whose runs need no Prefect; its connector is not saved. Both raise AlertsError."""

    account: MimecastConnector | None = None

    def poll(self) -> RunStats:
        assert self.account
        return self.pull(self.account)

    def backfill(self, start: datetime, end: datetime, what: Literal["missing", "everything"] = "missing") -> RunStats:
        assert self.account
        with ThreadPoolExecutor() as threads:
            engine = Engine(lambda _, work: threads.submit(work))
            return plain_backfill(RunContext(self.name, "backfill"), self.account, engine, start, end, what)


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    return not differences(one, other)


def differences(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> list[str]:
    """Names of the relations that differ."""
    assert one.keys() == other.keys()
    # As text: DuckDB sorts lists of structs, polars compares them by content only when written out.
    return [name for name in one if one[name].rows() != other[name].rows()]


def connector(running: Running, generation: int, account: Account | None = None, **fields: Any) -> MimecastConnector:
    """A connector of a simulated account; its id is fixed, so that every home gives its scans the same ids."""
    keys = (account or running.simulator.accounts[0]).keys[generation - 1]
    values: dict[str, Any] = {
        "api": f"{generation}.0",
        "base_url": running.url,
        "allow_other_host": True,
        "connector_id": CONNECTOR_ID,
        "first_look_back_days": 1,
        **keys,
    }
    return MimecastConnector(**values | fields)


def save(name: str, made: MimecastConnector) -> None:
    """Save it as Prefect's form does, in the place of another one of that name: without a look at all others."""
    made.save(name, overwrite=True)


def change(name: str, **fields: Any) -> None:
    """What an operator does in the form."""
    saved = load_connector(name)
    for field_name, value in fields.items():
        setattr(saved, field_name, value)
    save_connector(name, saved)


def scan(when: datetime, number: int | str = 1, result: str = "malicious", **fields: Any) -> dict[str, Any]:
    """A record as the vendor sends it; the number tells it from others of the same second."""
    return {
        "senderAddress": "billing@supplier.example",
        "recipientAddress": f"user{number}@contoso.example",
        "fileName": "invoice.doc",
        "fileType": "application/msword",
        "result": result,
        "actionTriggered": "none, none",
        "date": f"{when:%Y-%m-%dT%H:%M:%S}+0000",
        "details": f"{result.title():<50}\r\nTime taken: 0 hrs, 0 min, 3 sec",
        "route": "inbound",
        "messageId": f"<{number}@supplier.example>",
        "subject": f"Invoice {number}",
        "fileHash": "ab" * 32,
        "definition": "Default Inbound Attachment Protect Definition",
    } | fields


def hours(before: datetime, count: int, **fields: Any) -> Iterable[dict[str, Any]]:
    """One record in each of the hours before."""
    return [scan(before - timedelta(hours=hour, minutes=5), hour, **fields) for hour in range(count)]
