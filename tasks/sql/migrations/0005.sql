-- Which prefixes of hashes are in any low scan: a hash that turns dangerous is looked for only if it may be there.
CREATE TABLE internal.low_prefixes (hash_prefix UINTEGER NOT NULL);
INSERT INTO internal.low_prefixes SELECT DISTINCT hash_prefix FROM internal.low_scans WHERE hash_prefix IS NOT NULL;
