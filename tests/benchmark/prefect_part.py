"""What Prefect adds to a poll: a flow run against a running API, less the time inside our own stages."""

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from tests.simulator import V2_KEYS, Simulator, World, serve


def prefect_part() -> tuple[float, float]:
    """Seconds of a poll that brings about 1,000 records, and the seconds of it spent in our own functions."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        os.environ["ATTACHMENT_ALERTS_HOME"] = home
        from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415 - slow to import, needed here only

        now = datetime.now(UTC)
        world = World(per_day=24_000, start=now - timedelta(hours=1), end=now)
        with prefect_test_harness(server_startup_timeout=180), serve(Simulator(world)) as running:
            return _measure(running.url)


def _measure(url: str) -> tuple[float, float]:
    from flows import mimecast  # noqa: PLC0415
    from flows.runs import slice_stages  # noqa: PLC0415
    from tasks.ingest import pull_session  # noqa: PLC0415
    from tasks.ingest.stages import Stages  # noqa: PLC0415
    from tasks.mimecast.connector import MimecastConnector  # noqa: PLC0415
    from tasks.saved_connectors import save_connector  # noqa: PLC0415

    connector = MimecastConnector(base_url=url, allow_other_host=True, first_look_back_days=1, **V2_KEYS)
    save_connector("benchmark", connector)
    spent: list[float] = []

    def counted(function: Any) -> Any:
        @wraps(function)  # Prefect reads the signature
        def counting(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            result = function(*arguments, **named)
            spent.append(time.perf_counter() - begin)
            return result

        return counting

    for stage in ("extract", "validate", "transform", "clock_difference"):
        setattr(Stages, stage, counted(getattr(Stages, stage)))
    slice_stages.load = counted(slice_stages.load)
    pull_session.begin = counted(pull_session.begin)
    mimecast.mimecast("benchmark", return_state=True)  # the first flow of a process pays imports
    spent.clear()
    begin = time.perf_counter()
    mimecast.mimecast("benchmark", return_state=True)
    return time.perf_counter() - begin, sum(spent)
