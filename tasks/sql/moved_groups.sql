-- The groups whose counts of people, devices and unmatched recipients an import may change: those of recipients that
-- are matched differently than before, of people whose devices changed, and of mail groups whose members changed.
WITH touched AS (
    SELECT recipient FROM moved
    UNION
    SELECT recipient FROM internal.recipient_people
    WHERE tenant = $tenant AND (
        user_id IN (SELECT user_id::UUID FROM people)
        OR user_id IN (SELECT group_id::UUID FROM mail_groups)
        OR user_id IN (
            SELECT group_id FROM internal.group_people
            WHERE tenant = $tenant AND user_id IN (SELECT user_id::UUID FROM people)
        )
    )
)
SELECT DISTINCT replace(group_id::VARCHAR, '-', '') AS group_id
FROM internal.alert_scans WHERE tenant = $tenant AND recipient IN (SELECT recipient FROM touched);
