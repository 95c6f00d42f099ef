"""Deployments, schedules and automations on a Prefect server."""
