-- Since when a group is dangerous: whether a hash is asks its groups, not the alerts of all time.
ALTER TABLE internal.groups ADD COLUMN dangerous_at TIMESTAMPTZ;
UPDATE internal.groups g SET dangerous_at = d.dangerous_at
FROM (
    SELECT group_id, min(detected_at) AS dangerous_at
    FROM internal.alert_scans a
    ANTI JOIN (SELECT alert_id FROM internal.suppressed WHERE ended_at IS NULL) h ON a.scan_id = h.alert_id
    WHERE dangerous GROUP BY group_id
) d
WHERE g.group_id = d.group_id;
