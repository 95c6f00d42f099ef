"""From batches to tables: upsert, coverage, rejects, account lock."""
