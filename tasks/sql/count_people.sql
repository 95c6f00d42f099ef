-- Count, for the groups in `affected`, the people concerned, their devices, and the unmatched recipients.
UPDATE internal.groups g
SET user_count = c.users, device_count = c.devices, unmatched_count = c.unmatched
FROM (
    SELECT
        k.group_id, coalesce(u.n, 0) AS users, coalesce(d.n, 0) AS devices, coalesce(r.n, 0) AS unmatched
    FROM (SELECT group_id::UUID AS group_id FROM affected) k
    LEFT JOIN (
        SELECT group_id, count(DISTINCT user_id) AS n FROM internal.alert_people
        WHERE NOT ambiguous AND group_id IN (SELECT group_id::UUID FROM affected) GROUP BY group_id
    ) u USING (group_id)
    LEFT JOIN (
        SELECT group_id, count(DISTINCT device_id) AS n FROM internal.alert_machines
        WHERE group_id IN (SELECT group_id::UUID FROM affected) GROUP BY group_id
    ) d USING (group_id)
    LEFT JOIN (
        SELECT group_id, count(DISTINCT recipient) AS n FROM alerts
        WHERE match_state = 'unmatched' AND group_id IN (SELECT group_id::UUID FROM affected) GROUP BY group_id
    ) r USING (group_id)
) c
WHERE g.group_id = c.group_id
    AND (g.user_count, g.device_count, g.unmatched_count) IS DISTINCT FROM (c.users, c.devices, c.unmatched);
