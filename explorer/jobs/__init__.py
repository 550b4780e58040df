"""Where the work runs: in a process of its own, so that the server loads no runtime and no torch.

A page submits a task of `tasks` by its name, and looks at the `Job` it gets: its state, its
progress, and the parts of the result that have come so far. What crosses the process boundary is
JSON and files.
"""

from explorer.jobs.pool import Job, Pool, State, shared_pool

__all__ = ["Job", "Pool", "State", "shared_pool"]
