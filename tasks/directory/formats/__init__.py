"""File formats and values: zip, encoding, CSV, JSON, identifiers."""
