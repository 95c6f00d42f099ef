-- Directory: what exports and pulls said (source_…), the people and devices made of it, and what each recipient meant.
-- Validity is [valid_from, gone_at); the epoch stands for the beginning of time, null for still so.
CREATE TABLE internal.directory_imports (
    import_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    file_name VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    snapshot_at TIMESTAMPTZ NOT NULL,
    imported_at TIMESTAMPTZ NOT NULL,
    people BIGINT NOT NULL,
    devices BIGINT NOT NULL,
    addresses BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    warnings VARCHAR[] NOT NULL,
    has_aliases BOOLEAN NOT NULL,
    state VARCHAR NOT NULL
);

CREATE TABLE internal.source_objects (
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    object_key VARCHAR NOT NULL,
    user_id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    display_name VARCHAR,
    upn VARCHAR,
    mail VARCHAR,
    department VARCHAR,
    job_title VARCHAR,
    user_type VARCHAR,
    account_enabled BOOLEAN,
    employee_id VARCHAR,
    primary_smtp VARCHAR,
    sam_account VARCHAR,
    domain VARCHAR,
    cloud_id VARCHAR,
    ad_guid VARCHAR,
    ad_anchor VARCHAR,
    ad_sid VARCHAR,
    ad_dn VARCHAR,
    onprem_sid VARCHAR,
    onprem_guid VARCHAR,
    onprem_dn VARCHAR,
    onprem_domain VARCHAR,
    onprem_sam VARCHAR,
    onprem_upn VARCHAR,
    row_no BIGINT,
    first_seen_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.source_addresses (
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    object_key VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    rank TINYINT NOT NULL,
    rule VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.source_members (
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    group_key VARCHAR NOT NULL,
    ref_kind VARCHAR NOT NULL,
    ref VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.source_devices (
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    device_key VARCHAR NOT NULL,
    device_id UUID NOT NULL,
    device_name VARCHAR,
    os VARCHAR,
    os_version VARCHAR,
    is_compliant BOOLEAN,
    is_managed BOOLEAN,
    serial_number VARCHAR,
    cloud_device_id VARCHAR,
    cloud_object_id VARCHAR,
    mdm_id VARCHAR,
    ad_sid VARCHAR,
    dns_name VARCHAR,
    last_seen_at TIMESTAMPTZ,
    row_no BIGINT,
    first_seen_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.source_device_users (
    tenant VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    device_key VARCHAR NOT NULL,
    evidence VARCHAR NOT NULL,
    ref_kind VARCHAR NOT NULL,
    ref VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.people (
    tenant VARCHAR NOT NULL,
    user_id UUID NOT NULL,
    display_name VARCHAR,
    upn VARCHAR,
    mail VARCHAR,
    department VARCHAR,
    job_title VARCHAR,
    kind VARCHAR NOT NULL,
    account_enabled BOOLEAN,
    sources VARCHAR[] NOT NULL,
    merge_rules VARCHAR[] NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.addresses (
    tenant VARCHAR NOT NULL,
    address VARCHAR NOT NULL,
    user_id UUID NOT NULL,
    rank TINYINT NOT NULL,
    rule VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.devices (
    tenant VARCHAR NOT NULL,
    device_id UUID NOT NULL,
    device_name VARCHAR,
    os VARCHAR,
    os_version VARCHAR,
    is_compliant BOOLEAN,
    is_managed BOOLEAN,
    serial_number VARCHAR,
    last_seen_at TIMESTAMPTZ,
    sources VARCHAR[] NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.device_people (
    tenant VARCHAR NOT NULL,
    device_id UUID NOT NULL,
    user_id UUID NOT NULL,
    evidence VARCHAR NOT NULL,
    rank TINYINT NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ
);

CREATE TABLE internal.group_people (
    tenant VARCHAR NOT NULL,
    group_id UUID NOT NULL,
    user_id UUID NOT NULL,
    depth TINYINT NOT NULL
);

-- One row for each recipient ever seen and each stretch of time in which the directory said the same about it.
CREATE TABLE internal.recipients (
    tenant VARCHAR NOT NULL,
    recipient VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    valid_to TIMESTAMPTZ,
    user_id UUID,
    match_state VARCHAR NOT NULL,
    match_rule VARCHAR,
    reason VARCHAR,
    snapshot_at TIMESTAMPTZ
);

-- The people or groups a recipient may mean in such a stretch: several where it is ambiguous.
CREATE TABLE internal.recipient_people (
    tenant VARCHAR NOT NULL,
    recipient VARCHAR NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    user_id UUID NOT NULL,
    match_rule VARCHAR NOT NULL,
    match_rank TINYINT NOT NULL,
    matched_value VARCHAR NOT NULL,
    ambiguous BOOLEAN NOT NULL,
    snapshot_at TIMESTAMPTZ
);

ALTER TABLE internal.groups ADD COLUMN user_count BIGINT;
ALTER TABLE internal.groups ADD COLUMN device_count BIGINT;
ALTER TABLE internal.groups ADD COLUMN unmatched_count BIGINT;

-- Domains of the tenant's own people: a recipient elsewhere is external, not unknown.
CREATE TABLE internal.own_domains (
    tenant VARCHAR NOT NULL,
    domain VARCHAR NOT NULL
);
