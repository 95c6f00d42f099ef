-- What was rejected, and could it have been dangerous?
SELECT connector, reason, count(*) AS records, bool_or(dangerous) AS dangerous, max(last_seen_at) AS last_seen_at
FROM rejects
WHERE resolved_at IS NULL
GROUP BY connector, reason
ORDER BY dangerous DESC, records DESC;
