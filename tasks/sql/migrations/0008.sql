-- Columns of notifications are named after events that are sent.
ALTER TABLE internal.notices RENAME COLUMN told_with TO event_id;
ALTER TABLE internal.notices RENAME COLUMN told_at TO sent_at;
ALTER TABLE internal.connectors RENAME COLUMN told_state TO notified_state;
ALTER TABLE internal.connectors RENAME COLUMN told_gap_at TO notified_gap_at;

-- Messages that a notification block could not send; a later run sends them again. A row is removed when its message has
-- been sent or has expired. facts: the event's payload as JSON.
CREATE TABLE internal.messages (
    event_id UUID NOT NULL,
    tenant VARCHAR NOT NULL,
    block VARCHAR NOT NULL,
    event VARCHAR NOT NULL,
    about VARCHAR NOT NULL,
    facts VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at TIMESTAMPTZ NOT NULL,
    claimed_at TIMESTAMPTZ,
    expires_at TIMESTAMPTZ NOT NULL,
    error VARCHAR NOT NULL
);
