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
-- News are the recipients and alerts that are not among those of before, not how many: one may go as another comes.
released AS (
    SELECT arg_max(p.group_id, p.last_detected_at) AS group_id
    FROM present p
    JOIN internal.standing a ON p.group_id = a.group_id AND a.detected_at BETWEEN p.starts_at AND p.ends_at
    ANTI JOIN known_before k ON a.scan_id = k.alert_id
    WHERE p.dangerous_released_count > 0 AND a.shown AND a.disposition = 'released'
    GROUP BY p.tenant, p.alike
),
exposing AS (
    SELECT tenant, file_sha256, arg_max(group_id, last_detected_at) AS group_id
    FROM present WHERE exposure_count > 0 GROUP BY ALL
),
unknown AS (
    SELECT h.group_id, h.tenant, h.file_sha256, e.recipient
    FROM exposing h JOIN internal.exposed_scans e USING (tenant, file_sha256)
    ANTI JOIN known_before k ON h.tenant = k.tenant AND h.file_sha256 = k.alike AND e.recipient = k.recipient
    WHERE e.recipient IS NOT NULL
),
exposed AS (
    SELECT DISTINCT u.group_id
    FROM unknown u
    ANTI JOIN (
        SELECT tenant, file_sha256, recipient FROM internal.standing
        WHERE shown AND file_sha256 IN (SELECT file_sha256 FROM unknown)
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
    -- What came late is no news, but an entry that ends is, however old what it hid.
    f.kind <> 'released' AND ($in_bulk OR $cause <> 'expiry' AND g.last_detected_at < $now - INTERVAL 24 HOUR) AS digest,
    $now AS "at"
FROM found f JOIN internal.groups g USING (group_id);

DROP TABLE groups_before;

DROP TABLE known_before;
