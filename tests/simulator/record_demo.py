"""Record the account of `demo` and `simulate` from the simulator's story: `python -m tests.simulator.record_demo`.

Writes the answers of the simulated service, as they come over HTTP, to data/demo-account/.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tasks.mimecast.client import GET_ACCOUNT
from tasks.mimecast.demo_account import KEYS, RECORDING, RECORDING_END
from tests.simulator import V2_KEYS, World
from tests.simulator.client import simulated
from tests.simulator.rows import date_text, epoch

PAGE_SIZE = 500
DAYS = 7


def record(folder: Path) -> None:
    assert KEYS == V2_KEYS
    world = World.demo(RECORDING_END)
    world.clock = lambda: RECORDING_END  # part of each page token: every recording is the same
    start, end = (date_text(epoch(moment)) for moment in (RECORDING_END - timedelta(days=DAYS), RECORDING_END))
    folder.mkdir(exist_ok=True)
    with simulated(2, world) as client:
        write(folder / "account.json", client.post(GET_ACCOUNT, {"data": []}).json())
        for number, page in enumerate(client.pages(PAGE_SIZE, **{"from": start, "to": end}), 1):
            write(folder / f"page-{number}.json", page)


def write(file: Path, answer: dict[str, Any]) -> None:
    """One record per line, so that a change of the recording can be read."""
    lines = json.dumps(answer).replace(', {"senderAddress"', ',\n{"senderAddress"')
    file.write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(RECORDING)
