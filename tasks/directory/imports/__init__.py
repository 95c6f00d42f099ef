"""An import from files to tables: drop folder, acceptance, tables, log, report."""
