"""Talk to a vendor: HTTP client, TLS trust, retry, rate limit, connection checks."""
