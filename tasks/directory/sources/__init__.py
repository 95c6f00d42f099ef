"""One reader for each kind of export."""
