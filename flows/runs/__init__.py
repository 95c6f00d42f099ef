"""How any poll or backfill runs: session, slices in parallel, final state, events."""

from flows.runs.run_log import show_errors_as_sentences
from tasks.private_files import keep_files_private

# Every flow file imports this package, so this is where a run begins in the process of a worker that was not started by
# the command.
keep_files_private()
show_errors_as_sentences()
