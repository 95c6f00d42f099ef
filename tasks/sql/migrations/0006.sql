-- Which hashes are in any low scan: where only one begins with the 32 bits by which scans are found, which is nearly
-- always so, the hashes of the scans need not be read to know them. 160 bits are as good as the whole.
CREATE TABLE internal.low_hashes (hash_prefix UINTEGER NOT NULL, hash_end UUID NOT NULL);
INSERT INTO internal.low_hashes
SELECT DISTINCT hash_prefix, unhex(right(file_sha256, 32))::UUID FROM internal.low_scans WHERE hash_prefix IS NOT NULL;
DROP TABLE internal.low_prefixes;
