-- How many scans per day, by priority?
SELECT detected_at::DATE AS day, priority, count(*) AS scans
FROM scans
GROUP BY ALL
ORDER BY day DESC, priority;
