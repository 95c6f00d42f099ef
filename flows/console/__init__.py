"""Terminal output, prompts, typed dates."""
