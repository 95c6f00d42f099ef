"""A Prefect database that a later version has migrated."""

import sqlite3
from pathlib import Path
from unittest import mock

import pytest

from flows.server import prefect_server
from tasks.errors import StoreTooNew

pytestmark = pytest.mark.server


def test_database_of_a_later_prefect_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    database.close()
    with mock.patch.dict("os.environ", {"PREFECT_HOME": str(tmp_path)}):
        server = prefect_server.start_temporary(tmp_path)
    try:
        with pytest.raises(StoreTooNew):
            server.wait_until_ready()
    finally:
        server.stop()
