"""Decisions, selection, suppression and the allow-list."""
