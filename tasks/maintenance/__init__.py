"""Regroup, replay, retention and purge of what is stored."""
