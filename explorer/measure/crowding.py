"""Whether other programs take the cores that something is being timed on."""

import os
import time
from pathlib import Path

WAITS = Path("/proc/thread-self/schedstat")
LOADS = Path("/proc/loadavg")
MOST_WAITED = 0.05  # of the time since the last look
LOOK_S, QUIET_LOOKS, MOST_LOOKS = 0.01, 3, 50  # before timing: half a second at most


class Crowding:
    """Tells, look by look, whether this thread had to wait for a core since the look before.

    Linux counts that for each thread: nanoseconds run, and nanoseconds runnable but waiting
    (sched-stats, /proc/PID/schedstat). What others do on cores of their own doesn't count.
    Elsewhere the mean load of the last minute has to serve.
    """

    def __init__(self) -> None:
        self._seen = waits()

    def look(self) -> bool:
        """True where others took the core."""
        before, self._seen = self._seen, waits()
        if before is None or self._seen is None:
            return _is_loaded()
        run, waited = (now - then for now, then in zip(self._seen, before, strict=True))
        return waited > MOST_WAITED * (run + waited)


def spin() -> None:
    """Want the core for the time of one look, so that it shows who else does."""
    until = time.perf_counter() + LOOK_S
    while time.perf_counter() < until:
        pass


def waits() -> tuple[int, int] | None:
    """Nanoseconds that this thread has run, and waited for a core; None where nobody counts."""
    if not WAITS.exists():
        return None
    run, waited, _ = map(int, WAITS.read_text().split())
    return (run, waited) if run else None  # a kernel that doesn't count says 0


def _is_loaded() -> bool:
    """True when more programs want to run than there are cores."""
    cores = os.cpu_count() or 1
    if LOADS.exists():
        return int(LOADS.read_text().split()[3].partition("/")[0]) > cores
    return os.getloadavg()[0] > cores + 0.5
