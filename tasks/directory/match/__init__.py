"""From the address of a recipient to the person."""
