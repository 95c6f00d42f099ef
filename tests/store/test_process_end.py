"""When the process ends while another thread still refers to a failed run, as Prefect's threads do."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tasks.store import migrations

FAILURES = {
    "caller": "raise ZeroDivisionError",
    "statement": "transaction.rows('SELECT * FROM no_such_table')",
    "frame": """transaction.frame("SELECT ('x' || range)::INTEGER FROM range(1)")""",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_end_of_process_after_failed_transaction_reports_no_leak(tmp_path: Path, failure: str) -> None:
    script = f"""
        import threading, time
        from pathlib import Path
        from tasks.settings import Settings
        from tasks.store.factory import open_store

        def fail():
            with open_store(Settings(home=Path({str(tmp_path)!r}))).transaction() as transaction:
                {FAILURES[failure]}

        def hold(error):
            time.sleep(100)

        try:
            fail()
        except Exception as error:
            threading.Thread(target=hold, args=(error,), daemon=True).start()
    """
    call = [sys.executable, "-c", textwrap.dedent(script)]
    ended = subprocess.run(call, check=False, capture_output=True, text=True, cwd=migrations.SQL.parents[1])
    assert (ended.returncode, ended.stderr) == (0, "")
