"""A saved connector: base class, form, its Prefect block, and what products share."""
