-- Has this file ever been seen here, whatever the verdict?
SELECT detected_at, verdict, response, sender, recipient, file_name
FROM scans
WHERE file_sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
ORDER BY detected_at;
