-- Who is attacked most?
SELECT recipient, count(*) AS alerts, count(DISTINCT group_id) AS threats, max(detected_at) AS last_at
FROM alerts
WHERE priority = 'high'
GROUP BY recipient
ORDER BY threats DESC, alerts DESC, recipient
LIMIT 20;
