-- Count, for the hashes in `counted` (tenant, file_sha256), the recipients who got the hash without an alert.
-- A table, because the planner knows its size: with a larger estimate, the join reads all alerts into memory.
CREATE OR REPLACE TEMP TABLE exposed AS SELECT * FROM internal.exposed_scans SEMI JOIN counted USING (tenant, file_sha256);

UPDATE internal.groups g
SET exposure_count = c.n
FROM (
    SELECT k.tenant, k.file_sha256, count(DISTINCT e.recipient) AS n
    FROM counted k
    LEFT JOIN (
        SELECT e.* FROM exposed e
        ANTI JOIN (
            SELECT tenant, file_sha256, recipient FROM internal.alerts_with_entries
            WHERE shown AND file_sha256 IN (SELECT file_sha256 FROM exposed)
                AND recipient IN (SELECT recipient FROM exposed)
        ) a USING (tenant, file_sha256, recipient)
    ) e USING (tenant, file_sha256)
    GROUP BY ALL
) c
WHERE g.tenant = c.tenant AND g.file_sha256 = c.file_sha256 AND g.exposure_count <> c.n;

DROP TABLE exposed;
