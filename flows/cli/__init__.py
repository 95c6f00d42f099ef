"""The command attachment-alerts: one module per command group."""
