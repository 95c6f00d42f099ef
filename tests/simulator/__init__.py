"""A faithful imitation of the vendor's API on loopback, for tests, benchmarks and the recording of the demo.

world = World(seed=7, per_day=2_000)
with serve(Simulator(world)) as running:
    ...  # running.url answers with V1_KEYS (API 1.0) and V2_KEYS (API 2.0)
"""

from tests.simulator.accounts import V1_KEYS, V2_KEYS, Account, v1_keys, v2_keys
from tests.simulator.faults import PASSING, Fault, Faults
from tests.simulator.incoming import ReceivedRequest
from tests.simulator.options import fault_lines, faults_from, switch_lines, switches_from
from tests.simulator.server import Running, run, serve
from tests.simulator.service import Simulator
from tests.simulator.switches import Switches
from tests.simulator.world import World

__all__ = [
    "PASSING",
    "V1_KEYS",
    "V2_KEYS",
    "Account",
    "Fault",
    "Faults",
    "ReceivedRequest",
    "Running",
    "Simulator",
    "Switches",
    "World",
    "fault_lines",
    "faults_from",
    "run",
    "serve",
    "switch_lines",
    "switches_from",
    "v1_keys",
    "v2_keys",
]
