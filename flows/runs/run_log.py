"""The log of a run shows an error of the project as its sentence; Prefect would add the traceback of a failed task."""

import logging

from tasks.errors import AlertsError

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def _remove_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], AlertsError | OSError):
        record.exc_info = None
    return True


def show_errors_as_sentences() -> None:
    """Only a defect keeps its traceback. Has an effect once in a process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_remove_traceback)
