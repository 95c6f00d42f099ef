"""What changed in a transaction, the outbox, events and the texts of messages."""
