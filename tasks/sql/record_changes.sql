-- Compare the groups of this transaction with their snapshot in groups_before and store the changes as notices. A group
-- is compared with all groups that it consists of: a merged group has only changed if it differs from all of them.
-- The remaining statements are only run if `present` is not empty; $first and $last are its time range.
CREATE OR REPLACE TEMP TABLE present AS
WITH was AS (
    SELECT
        i.current_group_id AS group_id, bool_or(b.was.visible) AS visible, min(b.since) AS since,
        min(b.was.priority_rank) FILTER (b.was.visible) AS priority_rank, bool_or(b.was.status = 'closed') AS closed,
        sum(b.was.suppressed_count) AS suppressed_count
    FROM (
        -- One step may only count the exposures of a group that the next step rebuilds. The first snapshot is used.
        SELECT
            group_id, min(since) AS since,
            arg_min(
                {visible: visible, priority_rank: priority_rank, status: status, suppressed_count: suppressed_count}, rowid
            ) AS was
        FROM groups_before GROUP BY group_id
    ) b
    JOIN internal.group_ids i USING (group_id) GROUP BY ALL
)
SELECT
    g.group_id, g.tenant, g.file_sha256, coalesce(g.file_sha256, g.group_key::VARCHAR) AS file_key, g.status, g.starts_at,
    g.ends_at, g.last_detected_at, g.dangerous_released_count, g.exposure_count, w.visible, w.since, w.closed,
    g.priority = 'high' AND g.priority_rank < w.priority_rank AS raised,
    g.suppressed_count < w.suppressed_count AS visible_again
FROM internal.groups g JOIN was w USING (group_id)
WHERE g.alert_count > 0;

-- A table, because the planner knows its size: with a larger estimate, the join reads all alerts into memory.
CREATE OR REPLACE TEMP TABLE newly_exposed AS
SELECT h.group_id, h.tenant, h.file_sha256, e.recipient
FROM (
    SELECT tenant, file_sha256, arg_max(group_id, last_detected_at) AS group_id
    FROM present WHERE exposure_count > 0 GROUP BY ALL
) h
JOIN internal.exposed_scans e USING (tenant, file_sha256)
ANTI JOIN exposed_before k ON h.tenant = k.tenant AND h.file_sha256 = k.file_key AND e.recipient = k.recipient
WHERE e.recipient IS NOT NULL;

INSERT INTO internal.notices BY NAME
WITH changed AS (
    SELECT
        a.group_id, a.scan_id, a.raised_at, a.disposition, p.tenant, p.file_key, p.since, p.dangerous_released_count,
        p.last_detected_at
    FROM internal.alerts_with_entries a JOIN present p USING (group_id)
    WHERE a.shown AND p.since <= $now
        AND a.detected_at BETWEEN $first AND $last
),
-- A group that was split off another is only new if an operator regrouped the alerts.
opened AS (
    SELECT p.group_id FROM present p
    WHERE NOT p.visible
        AND ($cause = 'regroup' OR group_id IN (SELECT group_id FROM changed WHERE raised_at >= since))
),
-- New recipients and alerts are found by comparing rows, not counts: one may leave as another arrives.
released AS (
    SELECT arg_max(group_id, last_detected_at) AS group_id
    FROM changed a ANTI JOIN exposed_before k ON a.scan_id = k.alert_id
    WHERE dangerous_released_count > 0 AND disposition = 'released'
    GROUP BY tenant, file_key
),
exposed AS (
    SELECT DISTINCT u.group_id
    FROM newly_exposed u
    ANTI JOIN (
        SELECT tenant, file_sha256, recipient FROM internal.alerts_with_entries
        WHERE shown AND file_sha256 IN (SELECT file_sha256 FROM newly_exposed)
            AND recipient IN (SELECT recipient FROM newly_exposed)
    ) a USING (tenant, file_sha256, recipient)
),
found AS (
    SELECT group_id, 'group_opened' AS kind FROM opened
    UNION ALL SELECT group_id, 'group_reopened' FROM present WHERE closed AND visible AND status <> 'closed'
    UNION ALL SELECT group_id, 'group_raised' FROM present WHERE raised AND $cause <> 'expiry'
    UNION ALL SELECT group_id, 'suppression_expired' FROM present WHERE visible_again AND $cause = 'expiry'
    UNION ALL SELECT group_id, 'exposure_found' FROM exposed
    UNION ALL SELECT group_id, 'released' FROM released
)
SELECT
    uuid() AS notice_id, g.tenant, f.kind, f.group_id, $connector_id AS connector_id, $cause AS cause,
    -- Alerts that arrive late, as after an outage, belong in the digest; so do several groups that an expired allow-list
    -- entry shows again. One group that it shows again is news, whatever the age of its alerts.
    $in_bulk
        OR CASE WHEN $cause = 'expiry' THEN (SELECT count(DISTINCT group_id) FROM found) > 1
            ELSE g.last_detected_at < $now - INTERVAL 24 HOUR END AS digest,
    $now AS "at"
FROM found f JOIN internal.groups g USING (group_id);
