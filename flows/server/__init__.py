"""Find, start and supervise Prefect's server and worker."""
