"""The command `import-directory`: it needs neither Prefect nor a server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.views.directory import file_line
from tasks.settings import DEFAULTS
from tests.flows.cli.command import Command

DEMO_EXPORTS = DEFAULTS / "demo"
WITHOUT_PREFECT = """
import sys
from flows.cli.app import main
try:
    main(["import-directory", sys.argv[1]])
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in sys.modules if name.split(".")[0] == "prefect"]
assert not loaded, loaded
"""


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One readable export and one file of an unknown format."""
    folder = tmp_path / "exports"
    folder.mkdir()
    shutil.copy(DEMO_EXPORTS / "graph-users.json", folder)
    (folder / "notes.csv").write_text("colour,size\nred,3\n")
    return folder


def test_import_directory_never_loads_prefect(home: Path) -> None:
    code = [sys.executable, "-c", WITHOUT_PREFECT, str(DEMO_EXPORTS / "graph-users.json")]
    result = subprocess.run(code, check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_good_file_imported_with_exit_status_0_and_json(command: Command) -> None:
    result = command("import-directory", str(DEMO_EXPORTS / "graph-users.json"), "--json")
    assert result.status == 0, result.err
    data = json.loads(result.out)
    assert (data["tenant"], data["state"]) == ("default", "Completed")
    assert [(file["file"], file["state"]) for file in data["files"]] == [("graph-users.json", "imported")]


def test_refused_file_named_with_exit_status_1_and_the_others_imported(command: Command, folder: Path) -> None:
    result = command("import-directory", str(folder))
    assert result.status == 1
    assert "exports/notes.csv" in result.err
    again = json.loads(command("import-directory", str(folder), "--json").out)
    assert again["state"] == "Failed"
    assert {file["file"]: file["state"] for file in again["files"]} == {
        "exports/graph-users.json": "unchanged", "exports/notes.csv": "refused"
    }  # fmt: skip


def test_missing_path_refused_before_anything_is_imported(command: Command, tmp_path: Path) -> None:
    result = command("import-directory", str(DEMO_EXPORTS), str(tmp_path / "nowhere"))
    assert (result.status, result.out) == (1, "")
    assert "nowhere" in result.err
    assert not (tmp_path / "store.duckdb").exists()


def test_file_line_golden() -> None:
    counts = {"people": 1, "groups": 2, "devices": 0, "addresses": 1, "rejected": 2}
    nothing = dict.fromkeys(counts, 0)
    users = {"family": "csvde", "state": "imported", **counts, "reasons": ["no id (lines 3, 4)"], "warnings": ["x"]}
    files = [
        {"file": "in/a.csv", **users, "refusal": None},
        {"file": "in/b.csv", **users, "state": "unchanged", **nothing, "reasons": [], "warnings": [], "refusal": None},
        {"file": "in/c.json", "state": "refused", "refusal": "in/c.json, line 1, column 12: not JSON."},
        {"file": "in/d\x1b[31m.csv", "state": "refused", "refusal": "It comes with in/c.json, which is refused."},
    ]
    assert "\n".join(file_line(file).plain for file in files) == Path(__file__).with_name("import_lines.txt").read_text(
        encoding="utf-8"
    ).rstrip("\n")
