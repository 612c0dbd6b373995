"""Stopping politely: SIGINT and SIGTERM are noted, and acted on between steps."""

import signal


class StopSignals:
    """A context in which Ctrl-C and SIGTERM set `received` instead of ending the process.

    A second signal ends it at once, as usual.
    """

    def __init__(self) -> None:
        """Nothing is received yet."""
        self.received = 0  # the signal's number
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _note(self, number: int, frame: object) -> None:
        del frame
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before.clear()
