"""Metrics of `health --format prometheus`."""

from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

PREFIX = "attachment_alerts_"
STATES = ("ok", "off", "late", "quiet", "never_run", "failing", "auth_failed")
LABELS = ("connector", "tenant", "product")
GAUGES = {
    "lag_seconds": ("connector_lag_seconds", "Time since the watermark; everything before it is in the tables."),
    "last_success_at": ("connector_last_success_timestamp_seconds", "When a pull last succeeded."),
    "last_record_at": ("connector_last_record_timestamp_seconds", "Time of the newest record."),
    "key_expires_at": ("connector_key_expiry_timestamp_seconds", "When the keys expire."),
    "consecutive_failures": ("connector_consecutive_failures", "Failed attempts since the last success."),
    "gaps": ("connector_gaps", "Periods since the origin that are not in the tables."),
    "alerts_24h": ("connector_alerts_24h", "Alerts of the last 24 hours."),
    "rejects_24h": ("connector_rejects_24h", "Rejected records of the last 24 hours."),
    "dangerous_rejects": ("connector_dangerous_rejects", "Open rejects of the last 24 hours with a dangerous verdict."),
}


def prometheus_text(rows: list[dict[str, Any]], status: int) -> str:
    """Rows of `connector_health` in Prometheus's text format; what has no value has no line."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(PREFIX + name, text, labels, registry=registry)

    gauge("health_status", "Exit status of the command: 0 ok, 1 warning, 2 critical.").set(status)
    state = gauge("connector_state", "1 for the state that the connector is in, else 0.", *LABELS, "state")
    age = gauge("directory_age_seconds", "Time since the directory was imported.", "tenant")
    waiting = gauge("messages_waiting", "Messages that could not be sent yet.", "tenant")
    gauges = {field: gauge(name, text, *LABELS) for field, (name, text) in GAUGES.items()}
    for row in rows:
        labels = [row[label] for label in LABELS]
        for name in dict.fromkeys((*STATES, row["state"])):
            state.labels(*labels, name).set(name == row["state"])
        for field, of_connector in gauges.items():
            if (value := row[field]) is not None:
                of_connector.labels(*labels).set(value.timestamp() if isinstance(value, datetime) else value)
        if row["directory_age_hours"] is not None:
            age.labels(row["tenant"]).set(row["directory_age_hours"] * 3600)
        waiting.labels(row["tenant"]).set(row["messages_waiting"])
    return generate_latest(registry).decode()
