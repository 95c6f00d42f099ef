-- What should be looked at first?
SELECT priority, description, status, assignee, reopened_by, alert_count, recipient_count, worst_disposition, group_id
FROM alert_groups
WHERE cleared_at IS NULL AND status <> 'closed'
ORDER BY priority_rank, last_detected_at DESC
LIMIT 20;
