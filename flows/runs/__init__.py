"""How any poll or backfill runs: session, slices in parallel, final state, events."""
