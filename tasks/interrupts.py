"""What a signal meant that met the database at work.

DuckDB lets Python handle the signal, then drops what the handler raised and says `Query interrupted`, whatever it was.
But Ctrl-C, a cancellation in the Prefect UI and the stop of a service are exceptions of their own, and whoever waits
for one of them does not know the others.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SAYS = "Query interrupted"
ENDS = (signal.SIGINT, signal.SIGTERM)


class _Raised:
    """Remembers what left its block, and lets it go on."""

    what: BaseException = KeyboardInterrupt()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self.what = error


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """While the block asks DuckDB something: raise what the handler of a signal has raised, not what DuckDB says."""
    if threading.current_thread() is not threading.main_thread():  # others are never interrupted
        yield
        return
    raised = _Raised()
    before = {number: handler for number in ENDS if callable(handler := signal.getsignal(number))}
    for number, handler in before.items():
        signal.signal(number, _remembering(handler, raised))
    try:
        yield
    except RuntimeError as error:
        if str(error) != SAYS:
            raise
        raise raised.what from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remembering(handler: Callable[[int, FrameType | None], Any], raised: _Raised) -> Callable[..., None]:
    def handle(number: int, frame: FrameType | None) -> None:
        with raised:
            handler(number, frame)

    return handle
