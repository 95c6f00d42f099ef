-- What this transaction did to the groups in groups_before that somebody may have to be told. A present group is
-- compared with all those that it was before: one that took another in has not become what the other was already.
INSERT INTO internal.notices BY NAME
WITH was AS (
    SELECT
        i.current_group_id AS group_id, bool_or(b.shown) AS shown, min(b.since) AS since,
        min(b.priority_rank) FILTER (b.shown) AS priority_rank, bool_or(b.status = 'closed') AS closed,
        sum(b.suppressed_count) AS suppressed_count
    FROM groups_before b JOIN internal.group_ids i USING (group_id) GROUP BY ALL
),
present AS (
    SELECT
        g.*, coalesce(g.file_sha256, g.group_key::VARCHAR) AS alike, w.shown, w.since, w.closed,
        g.priority = 'high' AND g.priority_rank < w.priority_rank AS rose,
        g.suppressed_count < w.suppressed_count AS appeared
    FROM internal.groups g JOIN was w USING (group_id)
    WHERE g.alert_count > 0
),
-- A group that was only cut off another brings nothing new, unless a person asked for other groups.
opened AS (
    SELECT p.group_id FROM present p
    WHERE NOT p.shown AND ($cause = 'regroup' OR EXISTS (
        SELECT 1 FROM internal.standing a
        WHERE a.group_id = p.group_id AND a.detected_at BETWEEN p.starts_at AND p.ends_at AND a.shown
            AND a.raised_at >= p.since
    ))
),
-- What is counted for a hash is compared for the hash: its groups may share the alerts out anew.
before_of AS (
    SELECT tenant, alike, max(exposure_count) AS exposed, sum(released) AS released FROM groups_before
    WHERE alike IS NOT NULL GROUP BY ALL
),
after_of AS (
    SELECT
        tenant, alike, max(exposure_count) AS exposed, sum(dangerous_released_count) AS released,
        arg_max(group_id, last_detected_at) AS group_id,
        arg_max(group_id, last_detected_at) FILTER (dangerous_released_count > 0) AS released_id
    FROM present GROUP BY ALL
),
found AS (
    SELECT group_id, 'group_opened' AS kind FROM opened
    UNION ALL SELECT group_id, 'group_reopened' FROM present WHERE closed AND shown AND status <> 'closed'
    UNION ALL SELECT group_id, 'group_raised' FROM present WHERE rose AND $cause <> 'expiry'
    UNION ALL SELECT group_id, 'suppression_expired' FROM present WHERE appeared AND $cause = 'expiry'
    UNION ALL
    SELECT a.group_id, 'exposure_found' FROM after_of a LEFT JOIN before_of b USING (tenant, alike)
    WHERE a.exposed > coalesce(b.exposed, 0)
    UNION ALL
    SELECT a.released_id, 'released' FROM after_of a LEFT JOIN before_of b USING (tenant, alike)
    WHERE a.released > coalesce(b.released, 0)
)
SELECT
    uuid() AS notice_id, g.tenant, f.kind, f.group_id, $connector_id AS connector_id, $cause AS cause,
    f.kind <> 'released' AND ($in_bulk OR g.last_detected_at < $now - INTERVAL 24 HOUR) AS digest, $now AS "at"
FROM found f JOIN internal.groups g USING (group_id);

DROP TABLE groups_before;
