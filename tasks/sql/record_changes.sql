-- Compare the groups of this transaction with their snapshot in groups_before and store what has changed as notices. A
-- group is compared with all groups that it consists of: a merged group has not become what one of them was before.
-- The remaining statements are only run if `present` is not empty; $first and $last are its time range.
CREATE OR REPLACE TEMP TABLE present AS
WITH was AS (
    SELECT
        i.current_group_id AS group_id, bool_or(b.was.shown) AS shown, min(b.since) AS since,
        min(b.was.priority_rank) FILTER (b.was.shown) AS priority_rank, bool_or(b.was.status = 'closed') AS closed,
        sum(b.was.suppressed_count) AS suppressed_count
    FROM (
        -- One step may only count the exposures of a group that the next step rebuilds: the first snapshot counts.
        SELECT
            group_id, min(since) AS since,
            arg_min({shown: shown, priority_rank: priority_rank, status: status, suppressed_count: suppressed_count}, rowid)
                AS was
        FROM groups_before GROUP BY group_id
    ) b
    JOIN internal.group_ids i USING (group_id) GROUP BY ALL
)
SELECT
    g.group_id, g.tenant, g.file_sha256, coalesce(g.file_sha256, g.group_key::VARCHAR) AS alike, g.status, g.starts_at,
    g.ends_at, g.last_detected_at, g.dangerous_released_count, g.exposure_count, w.shown, w.since, w.closed,
    g.priority = 'high' AND g.priority_rank < w.priority_rank AS rose,
    g.suppressed_count < w.suppressed_count AS appeared
FROM internal.groups g JOIN was w USING (group_id)
WHERE g.alert_count > 0;

-- A table, because the planner knows its size: with a larger estimate, the join reads all alerts into memory.
CREATE OR REPLACE TEMP TABLE unknown AS
SELECT h.group_id, h.tenant, h.file_sha256, e.recipient
FROM (
    SELECT tenant, file_sha256, arg_max(group_id, last_detected_at) AS group_id
    FROM present WHERE exposure_count > 0 GROUP BY ALL
) h
JOIN internal.exposed_scans e USING (tenant, file_sha256)
ANTI JOIN known_before k ON h.tenant = k.tenant AND h.file_sha256 = k.alike AND e.recipient = k.recipient
WHERE e.recipient IS NOT NULL;

INSERT INTO internal.notices BY NAME
WITH changed AS (
    SELECT
        a.group_id, a.scan_id, a.raised_at, a.disposition, p.tenant, p.alike, p.since, p.dangerous_released_count,
        p.last_detected_at
    FROM internal.alerts_with_entries a JOIN present p USING (group_id)
    WHERE a.shown AND p.since <= $now
        AND a.detected_at BETWEEN $first AND $last
),
-- A group that was only split off another is not new, unless an operator asked for other groups.
opened AS (
    SELECT p.group_id FROM present p
    WHERE NOT p.shown
        AND ($cause = 'regroup' OR group_id IN (SELECT group_id FROM changed WHERE raised_at >= since))
),
-- New recipients and alerts are found by comparing them, not their number: one may leave as another arrives.
released AS (
    SELECT arg_max(group_id, last_detected_at) AS group_id
    FROM changed a ANTI JOIN known_before k ON a.scan_id = k.alert_id
    WHERE dangerous_released_count > 0 AND disposition = 'released'
    GROUP BY tenant, alike
),
exposed AS (
    SELECT DISTINCT u.group_id
    FROM unknown u
    ANTI JOIN (
        SELECT tenant, file_sha256, recipient FROM internal.alerts_with_entries
        WHERE shown AND file_sha256 IN (SELECT file_sha256 FROM unknown)
            AND recipient IN (SELECT recipient FROM unknown)
    ) a USING (tenant, file_sha256, recipient)
),
found AS (
    SELECT group_id, 'group_opened' AS kind FROM opened
    UNION ALL SELECT group_id, 'group_reopened' FROM present WHERE closed AND shown AND status <> 'closed'
    UNION ALL SELECT group_id, 'group_raised' FROM present WHERE rose AND $cause <> 'expiry'
    UNION ALL SELECT group_id, 'suppression_expired' FROM present WHERE appeared AND $cause = 'expiry'
    UNION ALL SELECT group_id, 'exposure_found' FROM exposed
    UNION ALL SELECT group_id, 'released' FROM released
)
SELECT
    uuid() AS notice_id, g.tenant, f.kind, f.group_id, $connector_id AS connector_id, $cause AS cause,
    -- Old alerts that arrive late belong in the digest. A release, or the end of an allow-list entry, is new whatever
    -- the age of its alerts.
    $in_bulk
        OR f.kind <> 'released' AND $cause <> 'expiry' AND g.last_detected_at < $now - INTERVAL 24 HOUR AS digest,
    $now AS "at"
FROM found f JOIN internal.groups g USING (group_id);
