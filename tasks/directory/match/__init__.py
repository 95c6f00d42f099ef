"""Which person an address belongs to."""
