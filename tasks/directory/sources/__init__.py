"""One reader per kind of export."""
