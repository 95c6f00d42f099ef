-- Who else received a file that turned out to be dangerous, without an alert?
SELECT file_sha256, recipient, display_name, devices, verdict, direction, detected_at, first_alert_at, group_id
FROM exposures
WHERE NOT also_alerted
ORDER BY first_alert_at DESC, detected_at;
