-- Is the feed complete and up to date?
SELECT connector, state, watermark, lag_seconds, gaps, rejects_24h, last_error
FROM connector_health
ORDER BY connector;
