-- Rows that are older than the retention settings allow, by table: `expired_…` holds row numbers. Coverage never expires.

-- An alert expires with its complete group, some time after the last decision that closed it.
CREATE OR REPLACE TEMP TABLE expired_alert_scans AS
SELECT rowid AS id, scan_id, tenant, connector_id, detected_at, file_sha256, group_id
FROM internal.alert_scans
WHERE group_id IN (
    SELECT group_id FROM internal.standing GROUP BY group_id HAVING bool_and(status = 'closed' AND decided_at < $closed)
);

CREATE OR REPLACE TEMP TABLE expired_low_scans AS
SELECT rowid AS id, scan_id FROM internal.low_scans WHERE detected_at < $low;

CREATE OR REPLACE TEMP TABLE expired_raw_of_lows AS
SELECT rowid AS id FROM internal.low_scans WHERE raw IS NOT NULL AND detected_at < $raw_low AND detected_at >= $low;

CREATE OR REPLACE TEMP TABLE expired_raw_of_alerts AS
SELECT rowid AS id FROM internal.alert_scans
WHERE raw IS NOT NULL AND detected_at < $raw_alert AND scan_id NOT IN (SELECT scan_id FROM expired_alert_scans);

CREATE OR REPLACE TEMP TABLE expired_rejects AS
SELECT rowid AS id FROM internal.rejects WHERE last_seen_at < $reject;

-- Pending notices never expire.
CREATE OR REPLACE TEMP TABLE expired_notices AS
SELECT rowid AS id FROM internal.notices WHERE sent_at < $notice;

-- The health view reads windows, so these stay: failures whose time has not been fetched since, and the rows with a
-- connector's last success and its newest record.
CREATE OR REPLACE TEMP TABLE expired_windows AS
SELECT w.rowid AS id
FROM internal.windows w
WHERE w.finished_at < $window
    AND (w.connector_id, w.finished_at) NOT IN (
        SELECT (connector_id, finished_at) FROM internal.open_failures
        UNION ALL
        SELECT (connector_id, max(finished_at)) FROM internal.windows WHERE state LIKE 'complete%' GROUP BY connector_id
        UNION ALL
        SELECT (connector_id, arg_max(finished_at, newest_at)) FROM internal.windows
        WHERE newest_at IS NOT NULL GROUP BY connector_id
    );

-- People and devices that a remaining alert or exposure concerns stay, although they are gone from the directory. That
-- includes alerts hidden by the allow-list: they may become visible again.
CREATE OR REPLACE TEMP TABLE concerned_then AS
WITH remaining AS (
    SELECT tenant, recipient, detected_at FROM internal.alert_scans
    WHERE scan_id NOT IN (SELECT scan_id FROM expired_alert_scans)
    UNION ALL
    SELECT tenant, recipient, detected_at FROM internal.low_scans
    WHERE scan_id IN (SELECT scan_id FROM internal.exposed_scans)
        AND scan_id NOT IN (SELECT scan_id FROM expired_low_scans)
        AND (tenant, file_sha256) IN (
            SELECT (tenant, file_sha256) FROM internal.standing
            WHERE dangerous AND shown AND scan_id NOT IN (SELECT scan_id FROM expired_alert_scans)
        )
)
SELECT DISTINCT
    p.tenant, coalesce(m.user_id, p.user_id) AS user_id, CASE WHEN m.user_id IS NOT NULL THEN p.user_id END AS via_group,
    p.matched_value, p.ambiguous, s.detected_at
FROM remaining s
JOIN internal.recipients r
    ON s.tenant = r.tenant AND s.recipient = r.recipient AND s.detected_at >= r.valid_from
    AND (r.valid_to IS NULL OR s.detected_at < r.valid_to)
JOIN internal.recipient_people p
    ON r.tenant = p.tenant AND r.recipient = p.recipient AND r.valid_from = p.valid_from
LEFT JOIN internal.group_people m ON p.tenant = m.tenant AND p.user_id = m.group_id;

CREATE OR REPLACE TEMP TABLE concerned AS
SELECT DISTINCT tenant, user_id, via_group, matched_value FROM concerned_then;

CREATE OR REPLACE TEMP TABLE concerned_devices AS
SELECT DISTINCT d.tenant, d.device_id, d.user_id
FROM internal.device_people d JOIN concerned_then c ON d.tenant = c.tenant AND d.user_id = c.user_id
WHERE NOT c.ambiguous AND (d.gone_at IS NULL OR (c.detected_at >= d.valid_from AND c.detected_at < d.gone_at));

CREATE OR REPLACE TEMP TABLE expired_people AS
SELECT rowid AS id, tenant, user_id FROM internal.people
WHERE gone_at < $gone AND (tenant, user_id) NOT IN (
    SELECT (tenant, user_id) FROM concerned UNION ALL
    SELECT (tenant, via_group) FROM concerned WHERE via_group IS NOT NULL
);

-- A source's row expires with its person: while another source has the person, it links the two.
CREATE OR REPLACE TEMP TABLE expired_source_objects AS
SELECT rowid AS id FROM internal.source_objects
WHERE (tenant, user_id) IN (SELECT (tenant, user_id) FROM expired_people);

CREATE OR REPLACE TEMP TABLE expired_addresses AS
SELECT rowid AS id FROM internal.addresses
WHERE gone_at < $gone AND (tenant, address) NOT IN (SELECT (tenant, matched_value) FROM concerned);

CREATE OR REPLACE TEMP TABLE expired_source_addresses AS
SELECT rowid AS id FROM internal.source_addresses
WHERE gone_at < $gone AND (tenant, address) NOT IN (SELECT (tenant, matched_value) FROM concerned);

CREATE OR REPLACE TEMP TABLE expired_source_members AS
SELECT rowid AS id FROM internal.source_members WHERE gone_at < $gone;

CREATE OR REPLACE TEMP TABLE expired_devices AS
SELECT rowid AS id, tenant, device_id FROM internal.devices
WHERE gone_at < $gone AND (tenant, device_id) NOT IN (SELECT (tenant, device_id) FROM concerned_devices);

CREATE OR REPLACE TEMP TABLE expired_source_devices AS
SELECT rowid AS id FROM internal.source_devices
WHERE (tenant, device_id) IN (SELECT (tenant, device_id) FROM expired_devices);

CREATE OR REPLACE TEMP TABLE expired_device_people AS
SELECT rowid AS id FROM internal.device_people
WHERE gone_at < $gone AND (tenant, device_id, user_id) NOT IN (
    SELECT (tenant, device_id, user_id) FROM concerned_devices
);

CREATE OR REPLACE TEMP TABLE expired_source_device_users AS
SELECT u.rowid AS id FROM internal.source_device_users u
WHERE u.gone_at < $gone AND (u.tenant, u.source, u.device_key) NOT IN (
    SELECT (d.tenant, d.source, d.device_key) FROM internal.source_devices d
    SEMI JOIN concerned_devices c ON d.tenant = c.tenant AND d.device_id = c.device_id
);
