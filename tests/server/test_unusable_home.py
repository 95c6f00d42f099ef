"""Homes on a read-only or full file system, or without permissions: one sentence, and never called a defect."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tasks.settings import CHECKOUT
from tests.scans import begun, load, scan

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount file systems and give up its own permissions"),
]

# Run in a mount namespace of their own, with the home, and where a filled one is.
READ_ONLY = 'cp -a "$2/." "$1" && mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
FULL = 'mount -t tmpfs -o size=16m tmpfs "$1" && cp -a "$2/." "$1"; cat /dev/zero > "$1/filler" || true'
FORBIDDEN = 'cp -a "$2/." "$1" && chmod 000 "$1"/*.*  && chmod 500 "$1"'
HIDDEN = 'cp -a "$2/." "$1" && chmod 000 "$1"'
WITHOUT_PERMISSIONS = "setpriv --bounding-set=-dac_override,-dac_read_search"
READS = ("alerts", "health", "allow-list list")
WRITES = (
    "triage --priority high --status in_progress --yes",
    "allow-list add sender a@b.example --reason x --yes",
    "regroup --gap-hours 1 --apply --yes",
    "server-login --rotate",
)
RUN = """
import contextlib, io, json, shlex, sys
from flows.cli.app import main
for call in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
        try:
            main(shlex.split(call))
        except SystemExit as end:
            status = end.code
    print(json.dumps([call, status, errors.getvalue()]))
"""


def in_world(prepare: str, prefix: str, calls: tuple[str, ...], tmp_path: Path) -> Mapping[str, tuple[int, str]]:
    """Status and stderr of each call in a home that was prepared like this."""
    filled, home = begun(tmp_path / "filled"), tmp_path / "home"
    load(filled, [[scan(hour=0), scan(hour=10)]])
    filled.publish()
    home.mkdir()
    script = f'{prepare} && exec {prefix} "$3" -c "$4" "$5"'
    given = [str(home), str(filled.settings.home), sys.executable, RUN, json.dumps(calls)]
    done = subprocess.run(
        [str(shutil.which("unshare")), "-m", "sh", "-c", script, "sh", *given],
        cwd=CHECKOUT,
        env=os.environ | {"ATTACHMENT_ALERTS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    home.chmod(0o700)
    shutil.rmtree(home)
    assert done.returncode == 0, done.stderr
    return {call: (status, errors) for call, status, errors in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize(
    ("prepare", "prefix", "calls", "reason"),
    [
        (READ_ONLY, "", WRITES, "Read-only file system"),
        (FULL, "", WRITES, "No space left on device"),
        (FORBIDDEN, WITHOUT_PERMISSIONS, READS + WRITES, "Permission denied"),
        (HIDDEN, WITHOUT_PERMISSIONS, READS + WRITES, "Permission denied"),
    ],
    ids=["read-only", "full", "forbidden", "hidden"],
)
def test_command_that_cannot_use_a_file_gives_the_reason(
    prepare: str, prefix: str, calls: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    ran = in_world(prepare, prefix, calls, tmp_path)
    assert list(ran) == list(calls)
    assert {call: status for call, (status, _) in ran.items() if status != 1} == {}
    last = {call: errors.splitlines()[-1] for call, (_, errors) in ran.items()}
    assert {call: line for call, line in last.items() if reason not in line or "defect" in line} == {}
    assert {call: errors for call, (_, errors) in ran.items() if "Traceback" in errors} == {}


@pytest.mark.parametrize("prepare", [READ_ONLY, FULL], ids=["read-only", "full"])
def test_command_that_only_reads_needs_no_space(prepare: str, tmp_path: Path) -> None:
    ran = in_world(prepare, "", READS, tmp_path)
    assert {call: errors for call, (_, errors) in ran.items() if "✘" in errors} == {}
