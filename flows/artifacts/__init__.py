"""What a run shows in the Prefect UI, as Markdown and tables."""
