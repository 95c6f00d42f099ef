from tests.scans import *
import tempfile
from hypothesis import given, strategies as st, settings
@settings(max_examples=2, deadline=None)
@given(st.text())
def test_b(x):
    s=begun(Path(tempfile.mkdtemp()))
    with s.transaction() as tr:
        tr.rows("select scan_id::varchar, detected_at from alerts join internal.alert_scans on alert_id=scan_id")
