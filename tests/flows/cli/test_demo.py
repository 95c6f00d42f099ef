"""The demo as a person starts it: in a process of its own, twice."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from flows.cli import demo
from tasks.errors import OperatorError
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store

pytestmark = pytest.mark.server

OF_RUNS = ("windows", "coverage", "coverage_gaps", "connector_health", "published")
FOREIGN = {
    "PREFECT_API_URL": "http://127.0.0.1:9/api",  # nothing listens there
    "PREFECT_PROFILE": "no-such-profile",
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "ATTACHMENT_ALERTS_HOME": "/nowhere",
}
SILENCE = 20.0  # seconds; a line is due after five, on a machine that has time for it


class Run(NamedTuple):
    status: int
    out: str
    err: str
    silence: float
    """longest time between two lines, in seconds"""
    tables: dict[str, list[tuple[object, ...]]]


class Twice(NamedTuple):
    home: Path
    first: Run
    second: Run


def run_demo(home: Path, elsewhere: Path) -> Run:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    call = [sys.executable, "-m", "flows", "demo", "--home", str(home)]
    own = environment | FOREIGN | {"HOME": str(elsewhere)}
    status, out, err, silence = listen(call, elsewhere, own, 600)  # a busy machine takes minutes
    return Run(status, out, err, silence, tables(home))


def listen(call: list[str], cwd: Path, env: dict[str, str], limit: float) -> tuple[int, str, str, float]:
    """A process's status, both outputs and longest silence; killed if it takes more than `limit` seconds."""
    moments = [time.monotonic()]

    def read(stream: IO[str]) -> str:
        lines = []
        for line in stream:
            lines.append(line)
            moments.append(time.monotonic())
        return "".join(lines)

    pipe = subprocess.PIPE
    with (
        subprocess.Popen(call, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True, umask=0) as process,
        ThreadPoolExecutor(2) as threads,
    ):
        assert process.stdout
        assert process.stderr
        try:
            out, err = threads.map(read, (process.stdout, process.stderr), timeout=limit)
        except TimeoutError:
            process.kill()  # the threads read to the end of its output
            raise
    moments.append(time.monotonic())
    return process.returncode, out, err, max(end - begin for begin, end in pairwise(moments))


def test_process_that_exceeds_the_limit_is_killed(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        listen([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, dict(os.environ), 0.1)
    assert time.monotonic() - begin < 30


def tables(home: Path) -> dict[str, list[tuple[object, ...]]]:
    with open_store(Settings(home=home)).reader() as reader:
        names = [
            row[0]
            for row in reader.rows("SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal")
        ]
        return {
            name: reader.frame(f"SELECT * FROM {name} ORDER BY ALL").rows() for name in names if name not in OF_RUNS
        }


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twice]:
    home, elsewhere = tmp_path_factory.mktemp("demo") / "home", tmp_path_factory.mktemp("elsewhere")
    yield Twice(home, run_demo(home, elsewhere), run_demo(home, elsewhere))
    assert list(elsewhere.iterdir()) == [], "something was written outside the demo's home"


def test_output_has_groups_summary_and_next_steps(twice: Twice) -> None:
    assert (twice.first.status, twice.second.status) == (0, 0), twice.first.err + twice.second.err
    printed = twice.first.out
    assert "19 groups · 11 high · 8 medium" in printed
    for line in ("received +[12],", "accepted .* new .* duplicates", "rejected +3", "hidden as low", "alerts +48"):
        assert re.search(line, printed), line
    assert "graph-users.json" in printed
    assert f"alerts --home {twice.home}" in printed
    assert re.search(r"group [0-9a-f]{8} --home", printed)
    assert "connectors add NAME" in printed
    assert "nothing new" in twice.second.out


def test_suggested_query_returns_alerts(twice: Twice) -> None:
    query = re.search(r"-c \"(import duckdb; .+)\"", twice.first.out)
    assert query
    answer = subprocess.run([sys.executable, "-c", query[1]], capture_output=True, text=True, check=True)
    assert "Malicious attachment" in answer.stdout


def test_alerts_are_matched_to_people_and_devices_by_every_rule(twice: Twice) -> None:
    with open_store(Settings(home=twice.home)).reader() as reader:
        states = dict(reader.rows("SELECT match_state, count(*) FROM alerts GROUP BY ALL"))
        rules = {rule for (rule,) in reader.rows("SELECT DISTINCT match_rule FROM alerts")}
        reasons = reader.rows("SELECT recipient, reason FROM unmatched_recipients")
        via_group = reader.rows("SELECT count(DISTINCT user_id) FROM alert_users WHERE via_group IS NOT NULL")[0][0]
        devices = reader.rows("SELECT count(*) FROM alert_devices")[0][0]
    assert states.keys() == {"matched", "group", "ambiguous", "unmatched"}
    assert rules >= {"primary", "alias", "primary, without tag"}
    assert reasons == [("buyer@northwind.example", "external domain")]
    assert via_group > 1
    assert devices > 0


def test_people_and_devices_are_those_in_the_readme(twice: Twice) -> None:
    with open_store(Settings(home=twice.home)).reader() as reader:
        price_list = reader.rows(
            "SELECT user_count, device_count FROM alert_groups "
            "WHERE list_contains(file_names, 'Price list spring.xlsx')"
        )
        scanned = reader.rows(
            "SELECT DISTINCT u.sources FROM alerts a JOIN alert_users x USING (alert_id) "
            "JOIN directory_users u ON u.user_id = x.user_id WHERE a.file_name = 'scan0001.pdf'"
        )
    assert price_list == [(7, 5)]
    assert scanned
    assert all(source.startswith("ad") for (sources,) in scanned for source in sources)


def test_a_second_run_changes_nothing(twice: Twice) -> None:
    first, second = twice.first.tables, twice.second.tables
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    filled = {"alerts", "alert_groups", "scans", "rejects", "exposures", "alert_users", "alert_devices"}
    filled |= {"directory_users", "directory_addresses", "directory_devices"}
    assert {name for name in first if first[name]} >= filled


def test_terminal_shows_progress_and_no_log_of_libraries(twice: Twice) -> None:
    for run in (twice.first, twice.second):
        assert {character for character in run.out + run.err if not character.isprintable()} == {"\n"}
        assert not re.search(r"(?i)traceback|warning|prefect\.|\| INFO|error", run.err), run.err
        assert "nanobind" not in run.err
        assert run.silence < SILENCE


def test_files_are_private_and_in_the_home(twice: Twice) -> None:
    assert {path.name for path in twice.home.iterdir()} >= {"store.duckdb", "alerts.duckdb", "demo.json", "prefect"}
    assert (twice.home / "prefect" / "prefect.db").exists()
    everything = [twice.home, *twice.home.rglob("*")]
    assert [path.name for path in everything if path.lstat().st_mode & 0o077] == [], "readable by others"
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)  # noqa: S607
    assert str(twice.home) not in left.stdout


def test_account_end_is_reused_only_with_a_store(tmp_path: Path) -> None:
    saved = {"anchor": "2026-01-02T03:00:00+00:00"}
    now = demo.account_end(tmp_path)
    (tmp_path / "demo.json").write_text(json.dumps(saved))
    assert demo.account_end(tmp_path) - now < timedelta(hours=2)
    (tmp_path / "demo.json").write_text(json.dumps(saved))
    (tmp_path / "store.duckdb").touch()
    assert demo.account_end(tmp_path) == datetime(2026, 1, 2, 3, tzinfo=UTC)


def test_home_with_other_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.duckdb").touch()
    with pytest.raises(OperatorError, match=str(tmp_path)):
        demo.run_demo(tmp_path)


def test_default_home_is_in_the_data_folder() -> None:
    assert demo.OWN_HOME == CHECKOUT / "data" / "demo-home"
