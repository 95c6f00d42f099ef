-- One reminder of a high-priority group that is still new some hours after its message was sent.
INSERT INTO internal.notices BY NAME
WITH sent AS (
    SELECT i.current_group_id AS group_id, max(n.sent_at) AS sent_at, arg_max(n.digest, n.sent_at) AS digest
    FROM internal.notices n JOIN internal.group_ids i USING (group_id)
    WHERE n.kind IN ('group_opened', 'group_reopened', 'group_raised', 'suppression_expired') AND n.event_id IS NOT NULL
    GROUP BY ALL
),
reminded AS (
    SELECT i.current_group_id AS group_id, max(n."at") AS reminded_at
    FROM internal.notices n JOIN internal.group_ids i USING (group_id) WHERE n.kind = 'reminder' GROUP BY ALL
)
SELECT
    uuid() AS notice_id, g.tenant, 'reminder' AS kind, g.group_id, 'reminder' AS cause, s.digest, $now AS "at"
FROM sent s JOIN internal.groups g USING (group_id) LEFT JOIN reminded r USING (group_id)
WHERE $remind AND s.sent_at <= $remind_before AND (r.reminded_at IS NULL OR r.reminded_at < s.sent_at)
    AND g.priority = 'high' AND g.status = 'new' AND g.alert_count > 0 AND g.cleared_at IS NULL;

-- The notices that this run has to send: single messages of any run, and the digest of its own changes. A later run
-- sends what a killed run has left. The remaining statements are only run if `claimed` is not empty.
CREATE OR REPLACE TEMP TABLE claimed AS
SELECT * FROM internal.notices
WHERE sent_at IS NULL AND (claimed_at IS NULL OR claimed_at < $claim_expired)
    AND (
        NOT digest OR cause IN ('regroup', 'replay', 'expiry', 'reminder') OR "at" < $digest_overdue
        OR (connector_id = $connector_id AND (cause = 'backfill') = $backfill)
    );

UPDATE internal.notices SET claimed_at = $now WHERE notice_id IN (SELECT notice_id FROM claimed);

-- What could not be sent for a day is history: groups are sent in a digest, and a connector's former states are not sent.
UPDATE internal.notices SET digest = true, event_id = NULL
WHERE notice_id IN (SELECT notice_id FROM claimed) AND group_id IS NOT NULL AND NOT digest AND "at" < $day_ago;

UPDATE internal.notices n SET sent_at = $now, event_id = NULL
WHERE notice_id IN (SELECT notice_id FROM claimed) AND starts_with(kind, 'connector_') AND "at" < $day_ago AND EXISTS (
    SELECT 1 FROM internal.notices later
    WHERE later.connector_id = n.connector_id AND starts_with(later.kind, 'connector_') AND later."at" > n."at"
);

-- Nothing is sent about a group that has been removed or has no visible alert.
UPDATE internal.notices SET sent_at = $now
WHERE notice_id IN (
    SELECT c.notice_id FROM claimed c LEFT JOIN internal.group_ids i USING (group_id)
    LEFT JOIN internal.groups g ON g.group_id = i.current_group_id
    WHERE c.group_id IS NOT NULL AND (g.group_id IS NULL OR g.alert_count = 0 OR g.cleared_at IS NOT NULL)
);
