-- Update the triage status of the groups in `affected` from the decisions on their alerts, all detected between two
-- times. `before`: their status at the beginning of this transaction, which shows whether a closed group is reopened.
UPDATE internal.groups g
SET status = c.status, assignee = c.assignee, close_reason = c.close_reason, reopened_at = c.reopened_at,
    reopened_by = c.reopened_by
FROM (
    WITH members AS (
        SELECT * FROM internal.standing
        WHERE detected_at BETWEEN $first AND $last AND group_id IN (SELECT group_id::UUID FROM affected)
    ),
    decided AS (
        SELECT
            group_id,
            CASE
                WHEN bool_or(status = 'in_progress') THEN 'in_progress' WHEN bool_or(status = 'new') THEN 'new' ELSE 'closed'
            END AS status,
            first(assignee ORDER BY decision_no DESC NULLS LAST, scan_id) AS assignee,
            first(close_reason ORDER BY decision_no DESC NULLS LAST, scan_id) AS close_reason,
            bool_or(risen AND last_changed_at = $now) AS risen,
            bool_or(status = 'new' AND decision_no IS NULL AND raised_at = $now) AS fresh
        FROM members WHERE shown GROUP BY group_id
    ),
    returned AS (
        SELECT DISTINCT m.group_id FROM internal.suppressed s JOIN members m ON s.alert_id = m.scan_id
        WHERE s.ended_at = $now AND m.shown
    ),
    -- The groups that the alerts of a group come from: itself, and those that this transaction joined to it.
    origins AS (
        SELECT a.group_id::UUID AS group_id, a.group_id::UUID AS old_group_id FROM affected a
        UNION
        SELECT new_group_id, old_group_id FROM internal.group_changes
        WHERE "at" = $now AND new_group_id IN (SELECT group_id::UUID FROM affected)
    ),
    history AS (
        SELECT
            o.group_id, bool_or(b.status = 'closed') AS was_closed, count(*) > 1 AS joined,
            max(b.status) FILTER (b.group_id = o.group_id) AS status,
            arg_max(b.reopened_by, b.reopened_at) AS reopened_by, max(b.reopened_at) AS reopened_at
        FROM origins o JOIN before b ON o.old_group_id = b.group_id GROUP BY o.group_id
    )
    SELECT
        a.group_id::UUID AS group_id,
        coalesce(d.status, h.status, 'new') AS status,
        d.assignee,
        CASE WHEN d.status = 'closed' THEN d.close_reason END AS close_reason,
        CASE
            WHEN d.status = 'closed' THEN NULL WHEN d.status IS NOT NULL AND h.was_closed THEN $now ELSE h.reopened_at
        END AS reopened_at,
        CASE
            WHEN d.status = 'closed' THEN NULL
            WHEN d.status IS NULL OR NOT coalesce(h.was_closed, false) THEN h.reopened_by
            WHEN d.risen THEN 'raised_priority'
            WHEN d.fresh THEN 'new_alert'
            WHEN r.group_id IS NOT NULL THEN 'suppression_ended'
            WHEN h.joined THEN 'joined_group'
            ELSE 'person'
        END AS reopened_by
    FROM affected a
    LEFT JOIN decided d ON a.group_id::UUID = d.group_id
    LEFT JOIN returned r ON a.group_id::UUID = r.group_id
    LEFT JOIN history h ON a.group_id::UUID = h.group_id
) c
WHERE g.group_id = c.group_id;
