"""A progress bar on a terminal, plain lines elsewhere."""

import sys
import time

import tqdm


class Progress:
    """How far, how fast, how long yet: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, what: str, total: int, *, start: int = 0, unit: str = "it"):
        """Starts the clock.

        Args:
          what: named in front.
          total, start: in `unit`s.
        """
        self._what, self._total, self._unit = what, total, unit
        self._start = self._done = start
        self._note = ""
        self._began = self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total, initial=start, desc=what, unit=unit, dynamic_ncols=True
            )

    @property
    def done(self) -> int:
        """How far it is."""
        return self._done

    def update(self, done: int, note: str = "") -> None:
        """Shows that `done` of the total are done, and the newest note that is not empty."""
        note = self._note = note or self._note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        # Plain lines every ten seconds: enough to see life, few enough for a log file.
        if self._bar is None and (done == self._total or now - self._printed > 10):
            self._printed = now
            rate = (done - self._start) / max(now - self._began, 1e-9)
            left = (self._total - done) / rate if rate else float("inf")
            print(
                f"{self._what}: {done}/{self._total} {self._unit}, {left:.0f} s left  {note}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()
