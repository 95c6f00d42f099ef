"""Bytes and texts of exports: zip, encoding, CSV, JSON, identifiers, values."""
