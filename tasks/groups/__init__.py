"""From alerts to groups, and who is exposed."""
