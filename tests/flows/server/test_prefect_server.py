"""A Prefect server that does not start: the command reports why."""

from pathlib import Path

import pytest

from flows.server import prefect_server
from flows.server.addresses import free_port
from flows.server.child_process import ChildProcess
from tasks.errors import AlertsError, StoreTooNew, Unreachable

WRITES = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(3)"
LATER = "alembic.util.exc.CommandError: Can't locate revision identified by 'ffffffffffff'\n\nERROR:    Exiting."
CLOSED = (
    "  File\nsqlite3.OperationalError: first\n\nThe above\n\nsqlalchemy.exc.OperationalError: (x) \x1b closed\nmore"
)


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (f"Traceback\n{LATER}", StoreTooNew, "later version of Prefect"),
        (CLOSED, Unreachable, r"sqlalchemy.exc.OperationalError: (x) \x1b closed. See"),
        ("OSError: [Errno 28] No space left on device", Unreachable, "No space left on device"),
        ("Server stopped!", Unreachable, "See"),
    ],
    ids=["later database", "database that cannot be opened", "full disk", "no exception"],
)
def test_server_that_ends_is_reported_with_its_reason(
    text: str, kind: type[AlertsError], reason: str, tmp_path: Path
) -> None:
    child = ChildProcess("Prefect server", ["-c", WRITES, text], tmp_path, {})
    with pytest.raises(kind) as raised:
        prefect_server.wait_until_ready(f"http://127.0.0.1:{free_port()}/api", child)
    child.stop(5)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert kind is StoreTooNew or str(child.log) in str(raised.value)


def test_server_that_ends_without_a_log_points_to_the_disk(tmp_path: Path) -> None:
    child = ChildProcess("Prefect server", ["-c", "raise SystemExit(1)"], tmp_path, {})
    with pytest.raises(Unreachable, match="free space"):
        prefect_server.wait_until_ready(f"http://127.0.0.1:{free_port()}/api", child)
    child.stop(5)
