-- The relations analysts rely on. What depends on the clock is computed here from stored times.

CREATE OR REPLACE MACRO domain_of(address) AS nullif(regexp_extract(address, '@([^@]*)$', 1), '');

CREATE OR REPLACE MACRO details_url(template, message_id, file_sha256, detected_at) AS
    replace(replace(replace(
        template,
        '{message_id}', url_encode(coalesce(message_id, ''))),
        '{file_sha256}', coalesce(file_sha256, '')),
        '{date}', strftime(detected_at AT TIME ZONE 'UTC', '%Y-%m-%d'));

CREATE OR REPLACE VIEW published AS
SELECT published_at, revision, schema_version, product_version, '*' AS tenant FROM internal.store_state;

CREATE OR REPLACE VIEW scans AS
WITH stored AS (
    SELECT
        scan_id, tenant, connector_id, detected_at, verdict, 'low' AS priority, 9::TINYINT AS priority_rank, priority_rule,
        sub_classification, response, disposition, file_sha256, file_name, file_type, sender, recipient, subject, message_id, route, definition, details, scan_seconds, raw, fetched_at,
        first_loaded_at, last_changed_at
    FROM internal.low_scans
    UNION ALL
    SELECT
        scan_id, tenant, connector_id, detected_at, verdict, priority, priority_rank, priority_rule,
        sub_classification, response, disposition, file_sha256, file_name, file_type, sender, recipient, subject, message_id, route, definition, details, scan_seconds, raw, fetched_at,
        first_loaded_at, last_changed_at
    FROM internal.alert_scans
)
SELECT
    scan_id, stored.tenant, c.name AS connector, c.product, detected_at, verdict, priority, priority_rank, priority_rule,
    'Email' AS classification, sub_classification, response,
    list_transform(string_split(response, ','), lambda part: trim(part)) AS responses, disposition,
    file_sha256, file_name, file_type, sender, domain_of(sender) AS sender_domain, stored.recipient,
    domain_of(stored.recipient) AS recipient_domain, subject, message_id, route, definition, details, scan_seconds, r.user_id, r.match_state,
    r.match_rule, fetched_at, first_loaded_at, last_changed_at, raw
FROM stored
LEFT JOIN internal.connectors c USING (connector_id)
LEFT JOIN internal.recipients r
    ON stored.tenant = r.tenant AND stored.recipient = r.recipient AND detected_at >= r.valid_from
    AND (r.valid_to IS NULL OR detected_at < r.valid_to);

-- Every alert with the entry of the allow-list that hides it.
CREATE OR REPLACE VIEW internal.alerts_with_entries AS
SELECT a.*, h.alert_id IS NULL AS shown, h.entry_id
FROM internal.alert_scans a LEFT JOIN internal.suppressed h ON a.scan_id = h.alert_id AND h.ended_at IS NULL;

-- … and what people decided on it. A decision holds until the alert becomes more urgent.
CREATE OR REPLACE VIEW internal.standing AS
SELECT
    a.*, d.decision_no, d."at" AS decided_at,
    CASE WHEN d.alert_id IS NULL OR a.priority_rank < d.priority_rank THEN 'new' ELSE d.status END AS status,
    CASE WHEN a.priority_rank >= d.priority_rank THEN d.close_reason END AS close_reason, d.assignee,
    coalesce(a.priority_rank < d.priority_rank, false) AS risen
FROM internal.alerts_with_entries a LEFT JOIN internal.decisions d ON a.scan_id = d.alert_id;

CREATE OR REPLACE VIEW internal.all_alerts AS
SELECT
    a.scan_id AS alert_id, a.group_id, a.tenant, c.name AS connector, c.product, a.detected_at, a.priority,
    a.priority_rank, a.priority_rule, 'Email' AS classification, a.sub_classification, a.verdict, a.response,
    list_transform(string_split(a.response, ','), lambda part: trim(part)) AS responses, a.disposition,
    a.file_sha256, a.file_name, a.file_type, a.sender, domain_of(a.sender) AS sender_domain, a.recipient,
    domain_of(a.recipient) AS recipient_domain, a.subject, a.message_id, a.route, a.definition, a.details, a.scan_seconds, r.user_id,
    r.match_state, r.match_rule, a.status, a.assignee, a.close_reason, a.decided_at AS status_changed_at, a.raised_at, a.cleared_at,
    a.first_loaded_at, a.last_changed_at,
    details_url(c.detection_details_url, a.message_id, a.file_sha256, a.detected_at) AS detection_details_url, a.shown, a.entry_id
FROM internal.standing a
LEFT JOIN internal.connectors c USING (connector_id)
LEFT JOIN internal.recipients r
    ON a.tenant = r.tenant AND a.recipient = r.recipient AND a.detected_at >= r.valid_from
    AND (r.valid_to IS NULL OR a.detected_at < r.valid_to);

CREATE OR REPLACE VIEW alerts AS
SELECT * EXCLUDE (shown, entry_id) FROM internal.all_alerts WHERE shown;

CREATE OR REPLACE VIEW suppressed_alerts AS
SELECT a.* EXCLUDE (shown), e.reason, e.expires_at
FROM internal.all_alerts a JOIN internal.allow_list e USING (entry_id)
WHERE NOT a.shown;

-- The people of each alert: those of its recipient at the time of detection, the members for a mail group.
CREATE OR REPLACE VIEW internal.alert_people AS
SELECT
    a.scan_id AS alert_id, a.group_id, a.tenant, a.detected_at, coalesce(m.user_id, p.user_id) AS user_id,
    p.match_rule, p.match_rank, p.matched_value, CASE WHEN m.user_id IS NOT NULL THEN p.user_id END AS via_group,
    p.ambiguous, p.snapshot_at
FROM internal.alerts_with_entries a
JOIN internal.recipients r
    ON a.tenant = r.tenant AND a.recipient = r.recipient AND a.detected_at >= r.valid_from
    AND (r.valid_to IS NULL OR a.detected_at < r.valid_to)
JOIN internal.recipient_people p
    ON r.tenant = p.tenant AND r.recipient = p.recipient AND r.valid_from = p.valid_from
LEFT JOIN internal.group_people m ON p.tenant = m.tenant AND p.user_id = m.group_id
WHERE a.shown;

-- Their devices: links that were valid when the alert was detected; for a person without one then, those valid now.
CREATE OR REPLACE VIEW internal.alert_machines AS
WITH linked AS (
    SELECT
        p.alert_id, p.group_id, p.tenant, p.user_id, d.device_id, d.evidence, d.rank, d.gone_at,
        p.detected_at >= d.valid_from AND (d.gone_at IS NULL OR p.detected_at < d.gone_at) AS held
    FROM internal.alert_people p JOIN internal.device_people d ON p.tenant = d.tenant AND p.user_id = d.user_id
    WHERE NOT p.ambiguous
),
chosen AS (
    SELECT *, bool_or(held) OVER (PARTITION BY alert_id, user_id) AS any_held FROM linked
)
SELECT alert_id, group_id, tenant, user_id, device_id, arg_min(evidence, rank) AS evidence, min(rank) AS rank
FROM chosen WHERE held OR (NOT any_held AND gone_at IS NULL)
GROUP BY ALL;

CREATE OR REPLACE VIEW alert_users AS
SELECT
    x.alert_id, x.tenant, x.user_id, u.display_name, u.upn, u.mail, u.department, u.kind, u.account_enabled,
    x.match_rule, x.match_rank, x.matched_value, x.via_group, x.ambiguous, x.snapshot_at
FROM internal.alert_people x LEFT JOIN internal.people u ON x.tenant = u.tenant AND x.user_id = u.user_id;

CREATE OR REPLACE VIEW alert_devices AS
SELECT
    x.alert_id, x.tenant, x.user_id, x.device_id, d.device_name, d.os, d.is_compliant, d.is_managed, d.last_seen_at,
    x.evidence
FROM internal.alert_machines x LEFT JOIN internal.devices d ON x.tenant = d.tenant AND x.device_id = d.device_id;

CREATE OR REPLACE VIEW alert_groups AS
WITH shown AS (
    SELECT
        a.group_id, a.detected_at, a.verdict, coalesce(a.response, '') AS response, c.name AS connector, c.product,
        a.recipient, a.sender, domain_of(a.sender) AS sender_domain, a.subject, a.file_name,
        details_url(c.detection_details_url, a.message_id, a.file_sha256, a.detected_at) AS detection_details_url
    FROM internal.alerts_with_entries a LEFT JOIN internal.connectors c USING (connector_id)
    WHERE a.shown
),
-- Not list(DISTINCT …), because DuckDB plans a separate aggregation and join for each of them, even in queries that read
-- no lists.
lists AS (
    SELECT
        group_id,
        list_sort(list_distinct(list(verdict))) AS verdicts,
        list_sort(list_distinct(list(connector)))[:50] AS connectors,
        list_sort(list_distinct(list(product)))[:50] AS products,
        list_sort(list_distinct(list(recipient)))[:50] AS recipients,
        list_sort(list_distinct(list(sender)))[:50] AS senders,
        list_sort(list_distinct(list(sender_domain)))[:50] AS sender_domains,
        list_sort(list_distinct(list(subject)))[:50] AS subjects,
        list_sort(list_distinct(list(file_name)))[:50] AS file_names,
        arg_max(detection_details_url, detected_at) AS detection_details_url
    FROM shown GROUP BY group_id
),
response_counts AS (
    SELECT group_id, list({'response': response, 'count': n} ORDER BY n DESC, response)[:50] AS responses
    FROM (SELECT group_id, response, count(*) AS n FROM shown GROUP BY ALL)
    GROUP BY group_id
),
user_names AS (
    SELECT group_id, list_sort(list(DISTINCT coalesce(u.display_name, u.upn, u.mail)))[:50] AS users
    FROM internal.alert_people x JOIN internal.people u ON x.tenant = u.tenant AND x.user_id = u.user_id
    WHERE NOT x.ambiguous GROUP BY group_id
),
device_names AS (
    SELECT group_id, list_sort(list(DISTINCT coalesce(d.device_name, d.device_id::VARCHAR)))[:50] AS devices
    FROM internal.alert_machines x JOIN internal.devices d ON x.tenant = d.tenant AND x.device_id = d.device_id
    GROUP BY group_id
),
previous AS (
    SELECT
        group_id,
        lag(group_id) OVER earlier AS previous_group_id,
        lag(close_reason) OVER earlier AS previous_close_reason,
        row_number() OVER earlier - 1 AS times_seen_before
    FROM internal.groups WHERE alert_count > 0
    WINDOW earlier AS (PARTITION BY tenant, coalesce(file_sha256, group_key::VARCHAR) ORDER BY first_detected_at, group_id)
)
SELECT
    g.group_id, g.tenant, g.priority, g.priority_rank, 'Email' AS classification, g.sub_classification,
    concat_ws(' · ', g.sub_classification, g.file_type, g.file_name) AS description,
    list_concat(
        CASE WHEN g.file_sha256 IS NULL THEN [] ELSE [{'kind': 'hash', 'value': g.file_sha256}] END,
        list_transform(coalesce(l.file_names, [])[:5], lambda x: {'kind': 'file name', 'value': x}),
        list_transform(coalesce(l.senders, [])[:5], lambda x: {'kind': 'sender', 'value': x}),
        list_transform(coalesce(l.sender_domains, [])[:5], lambda x: {'kind': 'sender domain', 'value': x})
    ) AS key_indicators,
    s.responses, g.worst_disposition, g.released_count, l.verdicts, array_to_string(l.products, ', ') AS product,
    l.connectors, g.alert_count, g.suppressed_count, g.recipient_count,
    g.user_count, g.device_count, g.unmatched_count, g.exposure_count,
    coalesce(l.recipients, []) AS recipients, coalesce(k.users, []) AS users, coalesce(m.devices, []) AS devices,
    coalesce(l.senders, []) AS senders, coalesce(l.sender_domains, []) AS sender_domains,
    coalesce(l.subjects, []) AS subjects, g.file_sha256, coalesce(l.file_names, []) AS file_names,
    g.first_detected_at, g.last_detected_at, g.first_loaded_at, g.last_changed_at, g.cleared_at,
    g.status, g.assignee, g.close_reason, g.reopened_at, g.reopened_by, p.previous_group_id, p.previous_close_reason,
    p.times_seen_before,
    l.detection_details_url
FROM internal.groups g
LEFT JOIN lists l USING (group_id)
LEFT JOIN response_counts s USING (group_id)
LEFT JOIN user_names k USING (group_id)
LEFT JOIN device_names m USING (group_id)
LEFT JOIN previous p USING (group_id)
WHERE g.alert_count > 0;

CREATE OR REPLACE VIEW scan_changes AS
SELECT tenant, scan_id, field, old_value, new_value, seen_at FROM internal.scan_changes;

CREATE OR REPLACE VIEW group_aliases AS
SELECT i.tenant, i.group_id AS old_group_id, i.current_group_id AS group_id, i.ended_at AS since
FROM internal.group_ids i SEMI JOIN internal.groups g ON g.group_id = i.current_group_id
WHERE i.group_id <> i.current_group_id AND i.removed_at IS NULL
UNION ALL
SELECT tenant, group_id, NULL, removed_at FROM internal.group_ids WHERE removed_at IS NOT NULL;

CREATE OR REPLACE VIEW group_changes AS
-- The second name needs no quotes.
SELECT tenant, alert_id, old_group_id, new_group_id, "at", "at" AS changed_at FROM internal.group_changes;

CREATE OR REPLACE VIEW exposures AS
WITH exposed AS (
    SELECT s.*, d.first_alert_at, r.user_id
    FROM internal.low_scans s
    SEMI JOIN internal.exposed_scans e ON s.scan_id = e.scan_id
    JOIN internal.dangerous_hashes d ON s.tenant = d.tenant AND s.file_sha256 = d.file_sha256
    LEFT JOIN internal.recipients r
        ON s.tenant = r.tenant AND s.recipient = r.recipient AND s.detected_at >= r.valid_from
        AND (r.valid_to IS NULL OR s.detected_at < r.valid_to)
),
-- Links that were valid when the file was scanned; for a person without one then, those that are valid now.
device_names AS (
    SELECT scan_id, list_sort(list(DISTINCT coalesce(device_name, device_id::VARCHAR)))[:50] AS devices
    FROM (
        SELECT *, bool_or(held) OVER (PARTITION BY scan_id) AS any_held
        FROM (
            SELECT
                x.scan_id, d.device_id, d.device_name, p.gone_at,
                x.detected_at >= p.valid_from AND (p.gone_at IS NULL OR x.detected_at < p.gone_at) AS held
            FROM exposed x
            JOIN internal.device_people p ON x.tenant = p.tenant AND x.user_id = p.user_id
            JOIN internal.devices d ON p.tenant = d.tenant AND p.device_id = d.device_id
        )
    )
    WHERE held OR (NOT any_held AND gone_at IS NULL) GROUP BY scan_id
),
listed AS (SELECT * FROM internal.groups WHERE alert_count > 0),
earliest AS (
    SELECT tenant, file_sha256, arg_min(group_id, first_detected_at) AS group_id FROM listed GROUP BY ALL
)
SELECT
    x.scan_id, x.tenant, coalesce(g.group_id, f.group_id) AS group_id, x.file_sha256, x.recipient,
    x.user_id, u.display_name, coalesce(m.devices, []) AS devices, x.message_id, x.verdict, x.disposition, x.detected_at, x.first_alert_at,
    CASE WHEN x.detected_at < x.first_alert_at THEN 'before' ELSE 'after' END AS direction,
    EXISTS (
        SELECT 1 FROM internal.standing a
        WHERE a.shown AND a.tenant = x.tenant AND a.file_sha256 = x.file_sha256 AND a.recipient = x.recipient
    ) AS also_alerted
FROM exposed x
LEFT JOIN internal.people u ON x.tenant = u.tenant AND x.user_id = u.user_id
LEFT JOIN device_names m ON x.scan_id = m.scan_id
ASOF LEFT JOIN listed g
    ON x.tenant = g.tenant AND x.file_sha256 = g.file_sha256 AND x.detected_at >= g.first_detected_at
LEFT JOIN earliest f ON x.tenant = f.tenant AND x.file_sha256 = f.file_sha256;

CREATE OR REPLACE VIEW triage_log AS
-- The second names need no quotes.
SELECT
    decision_id, tenant, alert_id, group_id, status, close_reason, assignee, comment, "by", "at",
    "by" AS author, "at" AS decided_at
FROM internal.triage_log;

CREATE OR REPLACE VIEW allow_list AS
SELECT
    e.entry_id, e.tenant, e.kind, e.value, e.reason, e.author, e.created_at, e.expires_at, e.ended_at,
    e.ended_at IS NULL AS active, coalesce(h.n, 0) AS hidden_count
FROM internal.allow_list e
LEFT JOIN (
    SELECT entry_id, count(*) AS n FROM internal.suppressed WHERE ended_at IS NULL GROUP BY entry_id
) h USING (entry_id);

CREATE OR REPLACE VIEW rejects AS
SELECT
    r.reject_id, r.tenant, c.name AS connector, r.reason, r.raw, r.dangerous, r.first_seen_at, r.last_seen_at, r.resolved_at
FROM internal.rejects r LEFT JOIN internal.connectors c USING (connector_id);

CREATE OR REPLACE VIEW windows AS
SELECT
    w.tenant, c.name AS connector, w.start_at, w.end_at, w.trigger, w.pages, w.received, w.accepted, w.new, w.changed,
    w.duplicates, w.expired, w.rejected, w.outside, w.vendor_total, w.state, w.error, w.started_at, w.finished_at, w.flow_run_id
FROM internal.windows w LEFT JOIN internal.connectors c USING (connector_id);

CREATE OR REPLACE VIEW coverage AS
SELECT v.tenant, c.name AS connector, v.start_at, v.end_at
FROM internal.coverage v LEFT JOIN internal.connectors c USING (connector_id);

CREATE OR REPLACE VIEW internal.holes AS
WITH since AS (
    SELECT c.tenant, c.connector_id, c.name AS connector, greatest(v.start_at, c.origin) AS start_at, v.end_at
    FROM internal.connectors c JOIN internal.coverage v USING (connector_id) WHERE v.end_at > c.origin
    UNION ALL
    SELECT tenant, connector_id, name, origin, origin FROM internal.connectors
),
stretches AS (
    SELECT
        tenant, connector_id, connector, end_at AS start_at,
        lead(start_at) OVER (PARTITION BY connector_id ORDER BY start_at, end_at) AS end_at
    FROM since
)
SELECT tenant, connector_id, connector, start_at, end_at FROM stretches WHERE start_at < end_at;

CREATE OR REPLACE VIEW coverage_gaps AS
SELECT tenant, connector, start_at, end_at FROM internal.holes;

-- A failed attempt counts until a later one has read the same time from its start on. Slices of one run finish in any
-- order, so the success of another slice proves nothing. Failures of a backfill before the origin are not counted.
CREATE OR REPLACE VIEW internal.open_failures AS
SELECT f.connector_id, f.finished_at, f.error_kind, f.error
FROM internal.windows f JOIN internal.connectors k USING (connector_id)
WHERE f.state = 'failed' AND f.start_at >= k.origin AND NOT EXISTS (
    SELECT 1 FROM internal.windows c
    WHERE c.connector_id = f.connector_id AND c.state LIKE 'complete%' AND c.finished_at > f.finished_at
        AND c.start_at <= f.start_at AND c.end_at > f.start_at
        AND (f.trigger <> 'recheck' OR c.trigger = 'recheck')
);

-- Time since any source last listed people, also if nothing had changed. An export that was imported only once, or was
-- replaced by a live pull, does not make the directory old; exports of devices, which only mention people, of contacts,
-- and of groups alone do not make it recent.
CREATE OR REPLACE VIEW internal.directory_age AS
SELECT
    tenant,
    floor(epoch(now() - coalesce(
        max(listed_at) FILTER (people > 0 AND NOT regexp_matches(source, '(devices|contacts)$')), max(listed_at)
    )) / 3600)::BIGINT
        AS directory_age_hours,
    directory_age_hours > 7 * 24 AS too_old
FROM (
    SELECT tenant, source, people, greatest(snapshot_at, confirmed_at) AS listed_at
    FROM internal.directory_imports WHERE state = 'imported'
)
GROUP BY tenant;

-- Notices that a run has claimed are waiting if the Prefect server did not accept their event.
CREATE OR REPLACE VIEW waiting_messages AS
SELECT
    tenant, event_id, block, event, about, created_at, attempts, next_attempt_at, expires_at, error
FROM internal.messages
UNION ALL
SELECT tenant, event_id, NULL, NULL, NULL, min("at"), NULL, NULL, NULL, 'The Prefect server has not accepted the event yet.'
FROM internal.notices
WHERE sent_at IS NULL AND claimed_at IS NOT NULL
GROUP BY tenant, event_id HAVING bool_or(urgent);

CREATE OR REPLACE VIEW connector_health AS
WITH attempts AS (
    SELECT
        connector_id,
        max(finished_at) FILTER (state LIKE 'complete%') AS last_success_at,
        max(newest_at) AS last_record_at,
        count(*) AS runs
    FROM internal.windows GROUP BY connector_id
),
failures AS (
    SELECT
        connector_id,
        count(*) AS consecutive_failures,
        arg_max(error, finished_at) AS last_error,
        arg_max(error_kind, finished_at) AS last_error_kind
    FROM internal.open_failures GROUP BY connector_id
),
marks AS (
    SELECT c.connector_id, coalesce(max(v.end_at), c.origin) AS watermark
    FROM internal.connectors c
    LEFT JOIN internal.coverage v
        ON v.connector_id = c.connector_id AND v.start_at <= c.origin AND v.end_at >= c.origin
    GROUP BY c.connector_id, c.origin
),
refused AS (
    SELECT
        connector_id,
        count(*) FILTER (last_seen_at > now() - INTERVAL 24 HOUR) AS rejects_24h,
        count(*) FILTER (dangerous AND resolved_at IS NULL AND last_seen_at > now() - INTERVAL 24 HOUR) AS dangerous_rejects
    FROM internal.rejects GROUP BY connector_id
),
raised AS (
    SELECT connector_id, count(*) AS alerts_24h
    FROM internal.alert_scans WHERE raised_at > now() - INTERVAL 24 HOUR GROUP BY connector_id
),
holes AS (SELECT connector_id, count(*) AS gaps FROM internal.holes GROUP BY connector_id),
facts AS (
    SELECT
        c.*, m.watermark, a.last_success_at, a.last_record_at, f.last_error, f.last_error_kind, a.runs,
        coalesce(f.consecutive_failures, 0) AS consecutive_failures, coalesce(r.rejects_24h, 0) AS rejects_24h,
        coalesce(r.dangerous_rejects, 0) AS dangerous_rejects, coalesce(n.alerts_24h, 0) AS alerts_24h,
        coalesce(h.gaps, 0) AS gaps,
        CASE WHEN m.watermark > now() THEN 0 ELSE epoch(now() - m.watermark)::BIGINT END AS lag_seconds
    FROM internal.connectors c
    LEFT JOIN marks m USING (connector_id)
    LEFT JOIN attempts a USING (connector_id)
    LEFT JOIN failures f USING (connector_id)
    LEFT JOIN refused r USING (connector_id)
    LEFT JOIN raised n USING (connector_id)
    LEFT JOIN holes h USING (connector_id)
    WHERE c.removed_at IS NULL
)
SELECT
    tenant, name AS connector, product,
    CASE
        WHEN runs IS NULL THEN 'never_run'
        WHEN polling IS FALSE THEN 'off'
        WHEN consecutive_failures > 0 AND last_error_kind IN ('CredentialsRefused', 'KeyExpired', 'PermissionMissing', 'WrongRegion')
            THEN 'auth_failed'
        WHEN consecutive_failures > 0 OR dangerous_rejects > 0 THEN 'failing'
        WHEN lag_seconds > 3 * 60 * polling_minutes + 900 THEN 'late'
        WHEN last_record_at IS NULL OR last_record_at < now() - greatest(INTERVAL 24 HOUR, 3 * polling_minutes * INTERVAL 1 MINUTE) THEN 'quiet'
        ELSE 'ok'
    END AS state,
    watermark, lag_seconds, last_success_at, last_record_at, consecutive_failures,
    CASE
        WHEN consecutive_failures > 0 THEN last_error
        WHEN dangerous_rejects > 0 THEN format('{} rejected records mention a dangerous verdict: look at the relation rejects.', dangerous_rejects)
    END AS last_error,
    key_expires_at, rejects_24h, dangerous_rejects, alerts_24h, gaps, directory_age_hours,
    (SELECT count(*) FROM waiting_messages w WHERE w.tenant = facts.tenant) AS messages_waiting
FROM facts LEFT JOIN internal.directory_age USING (tenant);

CREATE OR REPLACE VIEW directory_users AS
SELECT
    tenant, user_id, display_name, upn, mail, department, job_title, kind, account_enabled, sources, merge_rules,
    first_seen_at, last_seen_at, gone_at
FROM internal.people;

CREATE OR REPLACE VIEW directory_addresses AS
SELECT tenant, address, user_id, rank, rule, source, valid_from, gone_at FROM internal.addresses;

CREATE OR REPLACE VIEW directory_devices AS
SELECT
    tenant, device_id, device_name, os, os_version, is_compliant, is_managed, serial_number, last_seen_at, sources, gone_at
FROM internal.devices;

CREATE OR REPLACE VIEW directory_device_users AS
SELECT tenant, device_id, user_id, evidence, rank, valid_from, gone_at FROM internal.device_people;

CREATE OR REPLACE VIEW directory_imports AS
SELECT
    tenant, source, file_name, family, snapshot_at, imported_at, people, devices, addresses, rejected, warnings, state
FROM internal.directory_imports;

CREATE OR REPLACE VIEW unmatched_recipients AS
SELECT
    a.tenant, a.recipient,
    any_value(r.reason) || CASE
        WHEN any_value(g.too_old)
            THEN format(' (the directory is {} days old)', any_value(g.directory_age_hours) // 24) ELSE ''
    END AS reason,
    count(*) AS alert_count, max(a.detected_at) AS last_detected_at
FROM internal.standing a
JOIN internal.recipients r
    ON a.tenant = r.tenant AND a.recipient = r.recipient AND a.detected_at >= r.valid_from
    AND (r.valid_to IS NULL OR a.detected_at < r.valid_to)
LEFT JOIN internal.directory_age g ON a.tenant = g.tenant
WHERE a.shown AND r.match_state = 'unmatched'
GROUP BY a.tenant, a.recipient;
