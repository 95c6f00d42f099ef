"""The one door to DuckDB: lock, connection, transaction, migrations, publication, compaction."""
