"""What ended a question to the database from outside: never what DuckDB makes of it.

DuckDB lets Python handle a signal, drops what the handler raised and says `Query interrupted`; what reaches Python code
that it calls, it hides in an error of its own. But Ctrl-C, a cancellation in the Prefect UI, the stop of a service and
the loss of a run's slot are exceptions of their own, and whoever waits for one of them does not know the others.

The handlers themselves stay in their place: Prefect announces a cancellation only to a run that has its own one.
"""

import os
import signal
import threading
from types import TracebackType
from typing import Self

ENDS = (signal.SIGINT, signal.SIGTERM)
ARRIVED, ARRIVING = os.pipe()  # Python writes the number of each signal there, while we ask for it
for end in (ARRIVED, ARRIVING):
    os.set_blocking(end, False)


class Interrupts:
    """Around a question to DuckDB: raises what has really ended it."""

    def __init__(self) -> None:
        self.inside: BaseException | None = None
        """what has left Python code that DuckDB has called, if that was no error"""

    def __enter__(self) -> Self:
        # Only the main thread handles signals.
        self._watches = threading.current_thread() is threading.main_thread()
        if self._watches:
            self._handlers = {number: signal.getsignal(number) for number in ENDS}
            self._before = signal.set_wakeup_fd(ARRIVING, warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        numbers = self._arrived() if self._watches else b""
        if not isinstance(error, Exception):
            return
        if self.inside is not None:
            raise self.inside from None
        for number in numbers:
            handler = self._handlers.get(signal.Signals(number))
            if callable(handler):
                handler(number, None)  # raises once more what was dropped

    def _arrived(self) -> bytes:
        signal.set_wakeup_fd(self._before)
        try:
            return os.read(ARRIVED, 1000)
        except BlockingIOError:
            return b""


class Called:
    """Around Python code that DuckDB calls."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not isinstance(error, Exception):
            self._interrupts.inside = error
