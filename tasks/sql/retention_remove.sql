-- What goes with the alerts and scans that `going_…` names. An alert's id stays behind, and so do ids of groups.
INSERT INTO internal.removed_alerts SELECT tenant, connector_id, scan_id, detected_at FROM going_alert_scans;

UPDATE internal.group_ids SET removed_at = $now, ended_at = coalesce(ended_at, $now)
WHERE current_group_id IN (SELECT group_id FROM going_alert_scans);

DELETE FROM internal.groups WHERE group_id IN (SELECT group_id FROM going_alert_scans);

DELETE FROM internal.notices WHERE group_id IN (SELECT group_id FROM going_alert_scans);

DELETE FROM internal.group_changes WHERE alert_id IN (SELECT scan_id FROM going_alert_scans);

DELETE FROM internal.triage_log WHERE alert_id IN (SELECT scan_id FROM going_alert_scans);

DELETE FROM internal.decisions WHERE alert_id IN (SELECT scan_id FROM going_alert_scans);

DELETE FROM internal.suppressed WHERE alert_id IN (SELECT scan_id FROM going_alert_scans);

DELETE FROM internal.scan_changes
WHERE scan_id IN (SELECT scan_id FROM going_alert_scans UNION ALL SELECT scan_id FROM going_low_scans);

DELETE FROM internal.exposed_scans WHERE scan_id IN (SELECT scan_id FROM going_low_scans);

UPDATE internal.low_scans SET raw = NULL WHERE rowid IN (SELECT id FROM going_raw_of_lows);

UPDATE internal.alert_scans SET raw = NULL WHERE rowid IN (SELECT id FROM going_raw_of_alerts);
