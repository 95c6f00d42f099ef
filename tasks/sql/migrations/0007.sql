-- `replay` applies this setting without loading the connector's form. Null until the connector's next poll or apply.
ALTER TABLE internal.connectors ADD COLUMN no_verdict VARCHAR;
