-- What does the allow-list hide, and why?
SELECT e.kind, e.value, e.reason, e.author, e.expires_at, e.hidden_count, max(s.detected_at) AS last_hidden_at
FROM allow_list AS e
LEFT JOIN suppressed_alerts AS s USING (entry_id)
WHERE e.active
GROUP BY ALL
ORDER BY e.hidden_count DESC;
