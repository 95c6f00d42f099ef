-- Bring dangerous hashes and exposed scans up to date for the hashes whose alerts were touched. `touched`: tenant,
-- file_sha256. An alert that the allow-list hides makes nothing dangerous.
CREATE OR REPLACE TEMP TABLE dangerous_now AS
SELECT tenant, file_sha256, min(dangerous_at) AS first_alert_at
FROM internal.groups
WHERE dangerous_at IS NOT NULL AND file_sha256 IN (SELECT file_sha256 FROM touched)
GROUP BY ALL;

CREATE OR REPLACE TEMP TABLE became AS
SELECT tenant, file_sha256, ('0x' || left(file_sha256, 8))::UINTEGER AS hash_prefix
FROM dangerous_now ANTI JOIN internal.dangerous_hashes USING (tenant, file_sha256);

-- The prefixes are scanned first, being a fraction of the hashes' size: most hashes that turn dangerous are in no scan.
INSERT INTO internal.exposed_scans
SELECT s.tenant, s.scan_id, s.file_sha256, s.recipient
FROM internal.low_scans s
SEMI JOIN became b ON s.file_sha256 = b.file_sha256 AND s.tenant = b.tenant
WHERE s.rowid IN (SELECT p.rowid FROM internal.low_scans p SEMI JOIN became b ON p.hash_prefix = b.hash_prefix);

DELETE FROM internal.dangerous_hashes
WHERE (tenant, file_sha256) IN (SELECT (tenant, file_sha256) FROM touched);

INSERT INTO internal.dangerous_hashes
SELECT tenant, file_sha256, first_alert_at FROM dangerous_now SEMI JOIN touched USING (tenant, file_sha256);

DELETE FROM internal.exposed_scans
WHERE (tenant, file_sha256) IN (SELECT (tenant, file_sha256) FROM touched)
    AND (tenant, file_sha256) NOT IN (SELECT (tenant, file_sha256) FROM internal.dangerous_hashes);

DROP TABLE dangerous_now;

DROP TABLE became;
