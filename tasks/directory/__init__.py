"""Directory exports and pulls: who is behind an address, and which devices are theirs."""
