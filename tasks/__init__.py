"""What the flows are made of: plain functions, one module for each stage or concern."""
