"""What the command and the artifacts read from the published file."""
