"""Where the work runs: in processes of its own, so that the server reads no stranger's byte.

(A notebook has no strangers: its work runs in a thread of the kernel, see `in_thread`.)

A page submits a task of `tasks` by its name, and looks at the `Job` it gets: its state, its
progress, and the events that have come so far. What crosses the process boundary is
JSON and files.
"""

from explorer.jobs.local import LocalPool, shared_pool
from explorer.jobs.pool import Domain, Job, Pool, State

__all__ = ["Domain", "Job", "LocalPool", "Pool", "State", "shared_pool"]
