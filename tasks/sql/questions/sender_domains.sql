-- Which domains sent malicious files in the last 30 days?
SELECT sender_domain, count(DISTINCT file_sha256) AS files, count(*) AS alerts, count(DISTINCT recipient) AS recipients
FROM alerts
WHERE verdict = 'malicious' AND detected_at > now() - INTERVAL 30 DAY
GROUP BY sender_domain
ORDER BY alerts DESC, sender_domain
LIMIT 20;
