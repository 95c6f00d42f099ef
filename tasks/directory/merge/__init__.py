"""All sources of a tenant become people, devices and groups."""
