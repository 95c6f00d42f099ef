"""All sources of a tenant → people, devices and groups."""
