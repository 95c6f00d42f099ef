-- Which threats were released to recipients, or not stopped at all?
SELECT priority, description, worst_disposition, released_count, alert_count, recipients
FROM alert_groups
WHERE worst_disposition IN ('released', 'no_action') AND cleared_at IS NULL
ORDER BY priority_rank, released_count DESC, last_detected_at DESC;
