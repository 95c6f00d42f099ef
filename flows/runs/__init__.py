"""How any poll or backfill runs: session, slices in parallel, final state, events."""

from flows.runs.run_log import show_errors_as_sentences

show_errors_as_sentences()
