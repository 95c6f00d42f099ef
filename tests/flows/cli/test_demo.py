"""The demo as a person starts it: in a process of its own, twice."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from flows.cli import demo
from tasks.errors import OperatorError
from tasks.settings import CHECKOUT, Settings
from tasks.store.factory import open_store

OF_RUNS = ("windows", "coverage", "coverage_gaps", "connector_health", "published")
FOREIGN = {
    "PREFECT_API_URL": "http://127.0.0.1:9/api",  # nobody answers there
    "PREFECT_PROFILE": "nobody-has-this-profile",
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
    """A process's status, both outputs and longest silence; killed where it takes more than so many seconds."""
    moments = [time.monotonic()]

    def heard(stream: IO[str]) -> str:
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
            out, err = threads.map(heard, (process.stdout, process.stderr), timeout=limit)
        except TimeoutError:
            process.kill()  # the threads read to its end
            raise
    moments.append(time.monotonic())
    return process.returncode, out, err, max(end - begin for begin, end in pairwise(moments))


def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
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


def test_it_works_and_shows_groups_summary_and_what_to_try(twice: Twice) -> None:
    assert (twice.first.status, twice.second.status) == (0, 0), twice.first.err + twice.second.err
    says = twice.first.out
    assert "19 groups · 11 high · 8 medium" in says
    for line in ("received +[12],", "accepted .* new .* duplicates", "rejected +3", "hidden as low", "alerts +48"):
        assert re.search(line, says), line
    assert "graph-users.json" in says
    assert f"alerts --home {twice.home}" in says
    assert re.search(r"group [0-9a-f]{8} --home", says)
    assert "connectors add NAME" in says
    assert "nothing new" in twice.second.out


def test_the_query_it_suggests_answers(twice: Twice) -> None:
    query = re.search(r"-c \"(import duckdb; .+)\"", twice.first.out)
    assert query
    answer = subprocess.run([sys.executable, "-c", query[1]], capture_output=True, text=True, check=True)
    assert "Malicious attachment" in answer.stdout


def test_alerts_name_people_and_devices_in_every_way(twice: Twice) -> None:
    with open_store(Settings(home=twice.home)).reader() as reader:
        ways = dict(reader.rows("SELECT match_state, count(*) FROM alerts GROUP BY ALL"))
        rules = {rule for (rule,) in reader.rows("SELECT DISTINCT match_rule FROM alerts")}
        reasons = reader.rows("SELECT recipient, reason FROM unmatched_recipients")
        via_group = reader.rows("SELECT count(DISTINCT user_id) FROM alert_users WHERE via_group IS NOT NULL")[0][0]
        devices = reader.rows("SELECT count(*) FROM alert_devices")[0][0]
    assert ways.keys() == {"matched", "group", "ambiguous", "unmatched"}
    assert rules >= {"primary", "alias", "primary, without tag"}
    assert reasons == [("buyer@northwind.example", "external domain")]
    assert via_group > 1
    assert devices > 0


def test_it_concerns_whom_the_readme_says(twice: Twice) -> None:
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
    filled = {
        "alerts",
        "alert_groups",
        "scans",
        "rejects",
        "exposures",
        "scan_changes",
        "group_aliases",
        "group_changes",
    }
    filled |= {"alert_users", "alert_devices", "directory_users", "directory_addresses", "directory_devices"}
    assert {name for name in first if first[name]} >= filled - {"scan_changes", "group_aliases", "group_changes"}


def test_the_terminal_stays_clean_and_alive(twice: Twice) -> None:
    for run in (twice.first, twice.second):
        assert {character for character in run.out + run.err if not character.isprintable()} == {"\n"}
        assert not re.search(r"(?i)traceback|warning|prefect\.|\| INFO|error", run.err), run.err
        assert "nanobind" not in run.err
        assert run.silence < SILENCE


def test_it_keeps_to_its_home(twice: Twice) -> None:
    assert {path.name for path in twice.home.iterdir()} >= {"store.duckdb", "alerts.duckdb", "demo.json", "prefect"}
    assert (twice.home / "prefect" / "prefect.db").exists()
    everything = [twice.home, *twice.home.rglob("*")]
    assert [path.name for path in everything if path.lstat().st_mode & 0o077] == [], "readable by others"
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)  # noqa: S607
    assert str(twice.home) not in left.stdout


def test_the_anchor_is_kept_as_long_as_there_is_a_store(tmp_path: Path) -> None:
    first = demo._anchor(tmp_path)
    (tmp_path / "demo.json").write_text(json.dumps({"anchor": "2026-01-02T03:00:00+00:00"}))
    assert demo._anchor(tmp_path) == first
    (tmp_path / "demo.json").write_text(json.dumps({"anchor": "2026-01-02T03:00:00+00:00"}))
    (tmp_path / "store.duckdb").touch()
    assert f"{demo._anchor(tmp_path):%Y-%m-%d %H}" == "2026-01-02 03"


def test_it_refuses_a_home_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "store.duckdb").touch()
    with pytest.raises(OperatorError, match="not the demo's"):
        demo.run_demo(tmp_path)


def test_its_default_home_is_not_in_the_repository() -> None:
    assert demo.OWN_HOME == CHECKOUT / "data" / "demo-home"
