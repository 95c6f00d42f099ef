-- What happened in one group, message by message? (Here: the most urgent group with the most alerts.)
SELECT detected_at, verdict, response, disposition, sender, recipient, file_name, subject
FROM alerts
WHERE group_id = (SELECT group_id FROM alert_groups ORDER BY priority_rank, alert_count DESC LIMIT 1)
ORDER BY detected_at;
