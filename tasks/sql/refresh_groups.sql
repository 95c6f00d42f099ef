-- Rebuild the stored scalars of the groups in `affected` from their alerts, all detected between two times. What the
-- allow-list hides counts only for where a group begins and ends; a group with nothing else stays, and is not listed.
DELETE FROM internal.groups WHERE group_id IN (SELECT group_id::UUID FROM affected);

INSERT INTO internal.groups BY NAME
WITH members AS (
    SELECT
        group_id, group_key, tenant, scan_id, detected_at, priority, priority_rank, sub_classification, dangerous,
        disposition, file_sha256, file_type, file_name, recipient, first_loaded_at, cleared_at, shown
    FROM internal.alerts_with_entries
    WHERE detected_at BETWEEN $first AND $last AND group_id IN (SELECT group_id::UUID FROM affected)
),
names AS (
    SELECT group_id, first(file_name ORDER BY n DESC, file_name) AS file_name
    FROM (
        SELECT group_id, file_name, count(*) AS n
        FROM members WHERE shown AND file_name IS NOT NULL GROUP BY ALL
    )
    GROUP BY group_id
),
-- A group is as urgent as its most urgent alert that is shown and not cleared; if there is none, as the most urgent it had.
representative AS (
    SELECT
        group_id,
        first(
            {tenant: tenant, group_key: group_key, priority: priority, priority_rank: priority_rank,
            sub_classification: sub_classification, file_sha256: file_sha256, file_type: file_type,
            disposition: disposition}
            ORDER BY NOT shown, cleared_at IS NOT NULL, priority_rank, detected_at DESC, scan_id
        ) AS r
    FROM members GROUP BY group_id
),
counts AS (
    SELECT
        group_id,
        count(*) FILTER (shown AND disposition = 'released') AS released_count,
        CASE WHEN bool_or(shown AND dangerous) THEN count(*) FILTER (shown AND disposition = 'released') ELSE 0 END
            AS dangerous_released_count,
        min(list_position($dispositions, disposition)) FILTER (shown) AS worst,
        count(*) FILTER (shown) AS alert_count,
        count(*) FILTER (NOT shown) AS suppressed_count,
        count(DISTINCT recipient) FILTER (shown) AS recipient_count,
        min(detected_at) FILTER (shown) AS first_detected_at,
        max(detected_at) FILTER (shown) AS last_detected_at,
        min(detected_at) FILTER (shown AND dangerous) AS dangerous_at,
        min(detected_at) AS starts_at,
        max(detected_at) AS ends_at,
        min(first_loaded_at) AS first_loaded_at,
        CASE
            WHEN count(*) FILTER (shown) = count(cleared_at) FILTER (shown) THEN max(cleared_at) FILTER (shown)
        END AS cleared_at
    FROM members GROUP BY group_id
)
SELECT
    group_id, r.tenant, r.group_key, r.priority, r.priority_rank, r.sub_classification, r.file_sha256, r.file_type,
    n.file_name, coalesce($dispositions[c.worst], r.disposition) AS worst_disposition, c.released_count,
    c.dangerous_at, c.dangerous_released_count, c.alert_count, c.suppressed_count, c.recipient_count, 0 AS exposure_count,
    coalesce(c.first_detected_at, c.starts_at) AS first_detected_at,
    coalesce(c.last_detected_at, c.ends_at) AS last_detected_at, c.starts_at, c.ends_at, c.first_loaded_at,
    $now AS last_changed_at, c.cleared_at
FROM counts c JOIN representative USING (group_id) LEFT JOIN names n USING (group_id);
