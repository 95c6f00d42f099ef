-- Triage, suppression, notices and retention. What people decided stands beside the alerts, never in them: a load
-- rewrites the rows of alerts, and must neither carry nor lose a decision.

-- Append-only. priority_rank: the alert's when it was decided; a decision holds until the alert becomes more urgent.
CREATE TABLE internal.triage_log (
    decision_no BIGINT NOT NULL,
    decision_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    alert_id UUID NOT NULL,
    group_id UUID NOT NULL,
    status VARCHAR NOT NULL,
    close_reason VARCHAR,
    assignee VARCHAR,
    comment VARCHAR,
    priority_rank TINYINT NOT NULL,
    "by" VARCHAR NOT NULL,
    "at" TIMESTAMPTZ NOT NULL
);

-- The latest decision on each alert.
CREATE TABLE internal.decisions (
    decision_no BIGINT NOT NULL,
    tenant VARCHAR NOT NULL,
    alert_id UUID NOT NULL,
    status VARCHAR NOT NULL,
    close_reason VARCHAR,
    assignee VARCHAR,
    priority_rank TINYINT NOT NULL,
    "by" VARCHAR NOT NULL,
    "at" TIMESTAMPTZ NOT NULL
);

-- ended_at: when an entry stopped to hide, by expiry or by hand; until then it hides, whatever the clock says.
CREATE TABLE internal.allow_list (
    entry_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    value VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ
);

-- Alerts that an entry hides or once hid, each by its oldest entry; one row for each stretch of time.
CREATE TABLE internal.suppressed (
    tenant VARCHAR NOT NULL,
    alert_id UUID NOT NULL,
    entry_id UUID NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ
);

ALTER TABLE internal.groups ADD COLUMN suppressed_count BIGINT DEFAULT 0;
ALTER TABLE internal.groups ADD COLUMN status VARCHAR DEFAULT 'new';
ALTER TABLE internal.groups ADD COLUMN assignee VARCHAR;
ALTER TABLE internal.groups ADD COLUMN close_reason VARCHAR;
ALTER TABLE internal.groups ADD COLUMN reopened_at TIMESTAMPTZ;
ALTER TABLE internal.groups ADD COLUMN reopened_by VARCHAR;
-- A group counts and shows only what nobody hides; where its stretch of time begins and ends, hidden alerts included,
-- is what grouping has to know.
ALTER TABLE internal.groups ADD COLUMN starts_at TIMESTAMPTZ;
ALTER TABLE internal.groups ADD COLUMN ends_at TIMESTAMPTZ;
UPDATE internal.groups SET starts_at = first_detected_at, ends_at = last_detected_at;

-- Whether the connector's schedule is switched on, as far as somebody has told: without a server nobody does.
ALTER TABLE internal.connectors ADD COLUMN polling BOOLEAN;
-- Directory: what more its exports tell.
ALTER TABLE internal.directory_imports ADD COLUMN aliases_lost BOOLEAN DEFAULT false;
-- When the same content was last imported again: only the age of the directory asks.
ALTER TABLE internal.directory_imports ADD COLUMN confirmed_at TIMESTAMPTZ;
ALTER TABLE internal.people ADD COLUMN mail_user BOOLEAN;
ALTER TABLE internal.source_devices ADD COLUMN ad_guid VARCHAR;
-- By which settings all recipients of a tenant were looked up: with other ones they have to be looked up again.
CREATE TABLE internal.correlated (tenant VARCHAR NOT NULL, settings VARCHAR NOT NULL);

-- Notices: what happened to a group or a connector and is to be told. Written in the transaction of the change, told
-- after its commit; told_with is the id of the event that tells it, fixed before it is sent, so that what is sent again
-- after a crash is known to be the same.
CREATE TABLE internal.notices (
    notice_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    group_id UUID,
    connector_id UUID,
    cause VARCHAR NOT NULL,
    digest BOOLEAN NOT NULL,
    urgent BOOLEAN,
    "at" TIMESTAMPTZ NOT NULL,
    claimed_at TIMESTAMPTZ,
    told_with UUID,
    told_at TIMESTAMPTZ
);

ALTER TABLE internal.groups ADD COLUMN dangerous_released_count BIGINT DEFAULT 0;
UPDATE internal.groups g SET dangerous_released_count = g.released_count
WHERE g.group_id IN (SELECT group_id FROM internal.alert_scans WHERE dangerous);

ALTER TABLE internal.connectors ADD COLUMN first_end_at TIMESTAMPTZ;
ALTER TABLE internal.connectors ADD COLUMN told_state VARCHAR;
ALTER TABLE internal.connectors ADD COLUMN told_gap_at TIMESTAMPTZ;

-- Retention. Ids of alerts that were removed, so that a reading does not bring them back, and when a group's id went.
CREATE TABLE internal.removed_alerts (
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    scan_id UUID NOT NULL,
    detected_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE internal.group_ids ADD COLUMN removed_at TIMESTAMPTZ;
ALTER TABLE internal.windows ADD COLUMN expired BIGINT DEFAULT 0;
