-- Which verdicts or responses changed after they were first read?
SELECT c.seen_at, c.field, c.old_value, c.new_value, s.file_name, s.recipient, s.detected_at
FROM scan_changes AS c
JOIN scans AS s USING (scan_id)
WHERE c.field IN ('verdict', 'response')
ORDER BY c.seen_at DESC
LIMIT 50;
