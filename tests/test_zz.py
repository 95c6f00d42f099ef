from datetime import datetime, timedelta
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tasks.database import Store, Transaction
from tests.scans import HASH, Reading, begun, frame, load_into, scan, source
OTHER_HASH = "cd" * 32
SOURCES = (source(1), source(2, "other"), source(3))
RANKS = {"malicious": 1, "unsafe": 2, "safe": 9}
readings = st.tuples(
)
loads = st.lists(
    st.tuples(st.sampled_from(SOURCES), st.lists(readings, min_size=1, max_size=14)), min_size=1, max_size=5
@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return begun(tmp_path_factory.mktemp("home"), *SOURCES, group_gap_hours=2, group_span_hours=6)

@settings(max_examples=2, deadline=None)
@given(history=loads)
def test_any(store, history): return
