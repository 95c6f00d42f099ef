"""What a person starts: flows, the command, the demo."""
