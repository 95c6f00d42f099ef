"""A store as large as one likes in little time: what is stored, again and again, ten days earlier each time."""

from tasks.store.store import Store

COPIES = """
INSERT INTO internal.low_scans
SELECT * REPLACE (uuid() AS scan_id, detected_at - $back AS detected_at)
FROM internal.low_scans WHERE detected_at >= $since;
INSERT INTO internal.alert_scans
SELECT * REPLACE (
    uuid() AS scan_id, detected_at - $back AS detected_at, md5(group_id::VARCHAR || $back::VARCHAR)::UUID AS group_id,
    load_no + $loads AS load_no
) FROM internal.alert_scans WHERE detected_at >= $since;
INSERT INTO internal.groups
SELECT * REPLACE (
    md5(group_id::VARCHAR || $back::VARCHAR)::UUID AS group_id, first_detected_at - $back AS first_detected_at,
    last_detected_at - $back AS last_detected_at, starts_at - $back AS starts_at, ends_at - $back AS ends_at
) FROM internal.groups WHERE first_detected_at >= $since;
INSERT INTO internal.group_ids
SELECT * REPLACE (
    md5(group_id::VARCHAR || $back::VARCHAR)::UUID AS group_id, created_no + $loads AS created_no,
    md5(current_group_id::VARCHAR || $back::VARCHAR)::UUID AS current_group_id
) FROM internal.group_ids WHERE created_no <= $loads_now
"""


def grow(store: Store, scans: int) -> int:
    """Multiply the stored scans until there are at least `scans`; returns their number."""
    with store.transaction() as transaction:
        stored, since = transaction.rows("SELECT count(*), min(detected_at) FROM scans")[0]
        loads = transaction.rows("SELECT max(load_no) FROM internal.alert_scans")[0][0]
        for copy in range(1, -(-scans // stored)):
            facts = {"since": since, "loads": copy * loads, "loads_now": loads}
            for statement in COPIES.split(";\n"):
                used = {
                    name: value for name, value in facts.items() if f"${name}" in statement.replace("$loads_now", "")
                }
                used |= {"loads_now": loads} if "$loads_now" in statement else {}
                transaction.run(statement.replace("$back", f"INTERVAL {10 * copy} DAY"), used)
        return int(transaction.rows("SELECT count(*) FROM scans")[0][0])
