"""A faithful imitation of the vendor's API on loopback, for the demo, the tests and the benchmarks.

world = World(seed=7, per_day=2_000)
with serve(Simulator(world)) as running:
    ...  # running.url answers with V1_KEYS (API 1.0) and V2_KEYS (API 2.0)
"""

from tasks.mimecast.simulator.accounts import V1_KEYS, V2_KEYS, Account, v1_keys, v2_keys
from tasks.mimecast.simulator.faults import PASSING, Fault, Faults
from tasks.mimecast.simulator.incoming import Asked
from tasks.mimecast.simulator.options import fault_lines, faults_from, switch_lines, switches_from
from tasks.mimecast.simulator.server import Running, run, serve
from tasks.mimecast.simulator.service import Simulator
from tasks.mimecast.simulator.switches import Switches
from tasks.mimecast.simulator.world import World

__all__ = [
    "PASSING",
    "V1_KEYS",
    "V2_KEYS",
    "Account",
    "Asked",
    "Fault",
    "Faults",
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
