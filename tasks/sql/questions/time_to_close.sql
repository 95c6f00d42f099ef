-- How were this month's threats judged, and how long did that take?
SELECT close_reason, count(*) AS groups, sum(alert_count) AS alerts, avg(d.closed_at - g.first_loaded_at) AS after_loading
FROM alert_groups AS g
JOIN (SELECT group_id, max(decided_at) AS closed_at FROM triage_log GROUP BY group_id) AS d USING (group_id)
WHERE status = 'closed' AND g.last_detected_at > now() - INTERVAL 30 DAY
GROUP BY close_reason
ORDER BY groups DESC;
