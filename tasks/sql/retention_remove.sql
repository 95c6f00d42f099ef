-- What depends on expired alerts and scans. IDs of alerts and groups are kept, so that they are never used again.
INSERT INTO internal.removed_alerts SELECT tenant, connector_id, scan_id, detected_at FROM expired_alert_scans;

UPDATE internal.group_ids SET removed_at = $now, ended_at = coalesce(ended_at, $now)
WHERE current_group_id IN (SELECT group_id FROM expired_alert_scans);

DELETE FROM internal.groups WHERE group_id IN (SELECT group_id FROM expired_alert_scans);

DELETE FROM internal.notices WHERE group_id IN (SELECT group_id FROM expired_alert_scans);

DELETE FROM internal.group_changes WHERE alert_id IN (SELECT scan_id FROM expired_alert_scans);

DELETE FROM internal.triage_log WHERE alert_id IN (SELECT scan_id FROM expired_alert_scans);

DELETE FROM internal.decisions WHERE alert_id IN (SELECT scan_id FROM expired_alert_scans);

DELETE FROM internal.suppressed WHERE alert_id IN (SELECT scan_id FROM expired_alert_scans);

DELETE FROM internal.scan_changes
WHERE scan_id IN (SELECT scan_id FROM expired_alert_scans UNION ALL SELECT scan_id FROM expired_low_scans);

DELETE FROM internal.exposed_scans WHERE scan_id IN (SELECT scan_id FROM expired_low_scans);

UPDATE internal.low_scans SET raw = NULL WHERE rowid IN (SELECT id FROM expired_raw_of_lows);

UPDATE internal.alert_scans SET raw = NULL WHERE rowid IN (SELECT id FROM expired_raw_of_alerts);
