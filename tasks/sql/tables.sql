-- Schema version 1. The program's own tables; analysts read the views of views.sql.
-- No primary keys: the single writer and the anti-join hold uniqueness, an index would double the file and
-- slow every insert. Lists are never stored: updating them costs a rewrite of the row. Raw records are compressed by
-- zstd: half the file and less time than what is chosen for short texts.
CREATE SCHEMA internal;

CREATE TABLE internal.store_state (
    schema_version INTEGER NOT NULL,
    product_version VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    published_at TIMESTAMPTZ,
    views_digest VARCHAR
);

CREATE TABLE internal.connectors (
    connector_id UUID NOT NULL,
    name VARCHAR NOT NULL,
    product VARCHAR NOT NULL,
    tenant VARCHAR NOT NULL,
    polling_minutes INTEGER NOT NULL,
    detection_details_url VARCHAR,
    key_expires_at TIMESTAMPTZ,
    origin TIMESTAMPTZ,
    rechecked_at TIMESTAMPTZ,
    removed_at TIMESTAMPTZ
);

CREATE TABLE internal.low_scans (
    scan_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    detected_at TIMESTAMPTZ NOT NULL,
    verdict VARCHAR NOT NULL,
    priority_rule VARCHAR NOT NULL,
    sub_classification VARCHAR NOT NULL,
    response VARCHAR,
    disposition VARCHAR NOT NULL,
    file_sha256 VARCHAR,
    file_name VARCHAR,
    file_type VARCHAR,
    sender VARCHAR,
    recipient VARCHAR,
    subject VARCHAR,
    message_id VARCHAR,
    route VARCHAR,
    definition VARCHAR,
    details VARCHAR,
    scan_seconds INTEGER,
    raw VARCHAR USING COMPRESSION zstd,
    fetched_at TIMESTAMPTZ NOT NULL,
    first_loaded_at TIMESTAMPTZ NOT NULL,
    last_changed_at TIMESTAMPTZ NOT NULL,
    hash_prefix UINTEGER
);

CREATE TABLE internal.alert_scans (
    scan_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    detected_at TIMESTAMPTZ NOT NULL,
    verdict VARCHAR NOT NULL,
    dangerous BOOLEAN NOT NULL,
    priority VARCHAR NOT NULL,
    priority_rank TINYINT NOT NULL,
    priority_rule VARCHAR NOT NULL,
    sub_classification VARCHAR NOT NULL,
    response VARCHAR,
    disposition VARCHAR NOT NULL,
    file_sha256 VARCHAR,
    file_name VARCHAR,
    file_type VARCHAR,
    sender VARCHAR,
    recipient VARCHAR,
    subject VARCHAR,
    message_id VARCHAR,
    route VARCHAR,
    definition VARCHAR,
    details VARCHAR,
    scan_seconds INTEGER,
    raw VARCHAR USING COMPRESSION zstd,
    fetched_at TIMESTAMPTZ NOT NULL,
    first_loaded_at TIMESTAMPTZ NOT NULL,
    last_changed_at TIMESTAMPTZ NOT NULL,
    raised_at TIMESTAMPTZ NOT NULL,
    cleared_at TIMESTAMPTZ,
    group_key UUID NOT NULL,
    load_no BIGINT,
    group_id UUID
);

CREATE TABLE internal.scan_changes (
    tenant VARCHAR NOT NULL,
    scan_id UUID NOT NULL,
    field VARCHAR NOT NULL,
    old_value VARCHAR,
    new_value VARCHAR,
    seen_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE internal.groups (
    group_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    group_key UUID NOT NULL,
    priority VARCHAR NOT NULL,
    priority_rank TINYINT NOT NULL,
    sub_classification VARCHAR NOT NULL,
    file_sha256 VARCHAR,
    file_type VARCHAR,
    file_name VARCHAR,
    worst_disposition VARCHAR NOT NULL,
    released_count BIGINT NOT NULL,
    alert_count BIGINT NOT NULL,
    recipient_count BIGINT NOT NULL,
    exposure_count BIGINT NOT NULL,
    first_detected_at TIMESTAMPTZ NOT NULL,
    last_detected_at TIMESTAMPTZ NOT NULL,
    first_loaded_at TIMESTAMPTZ NOT NULL,
    last_changed_at TIMESTAMPTZ NOT NULL,
    cleared_at TIMESTAMPTZ
);

CREATE TABLE internal.group_ids (
    group_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    created_no BIGINT NOT NULL,
    current_group_id UUID NOT NULL,
    ended_at TIMESTAMPTZ
);

CREATE TABLE internal.group_changes (
    tenant VARCHAR NOT NULL,
    alert_id UUID NOT NULL,
    old_group_id UUID NOT NULL,
    new_group_id UUID NOT NULL,
    "at" TIMESTAMPTZ NOT NULL
);

CREATE TABLE internal.dangerous_hashes (
    tenant VARCHAR NOT NULL,
    file_sha256 VARCHAR NOT NULL,
    first_alert_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE internal.exposed_scans (
    tenant VARCHAR NOT NULL,
    scan_id UUID NOT NULL,
    file_sha256 VARCHAR NOT NULL,
    recipient VARCHAR
);

CREATE TABLE internal.rejects (
    reject_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    reason VARCHAR NOT NULL,
    raw VARCHAR NOT NULL,
    dangerous BOOLEAN NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    resolved_at TIMESTAMPTZ
);

CREATE TABLE internal.windows (
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    start_at TIMESTAMPTZ NOT NULL,
    end_at TIMESTAMPTZ NOT NULL,
    trigger VARCHAR NOT NULL,
    pages BIGINT NOT NULL,
    received BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    new BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    outside BIGINT NOT NULL,
    vendor_total BIGINT,
    newest_at TIMESTAMPTZ,
    state VARCHAR NOT NULL,
    error_kind VARCHAR,
    error VARCHAR,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ NOT NULL,
    flow_run_id VARCHAR
);

CREATE TABLE internal.coverage (
    tenant VARCHAR NOT NULL,
    connector_id UUID NOT NULL,
    start_at TIMESTAMPTZ NOT NULL,
    end_at TIMESTAMPTZ NOT NULL
);
