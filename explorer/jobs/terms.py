"""The terms on which each task runs; the tasks themselves load what the server mustn't."""

from dataclasses import dataclass

WORK, MEASURE = "work", "measure"


@dataclass(frozen=True)
class Terms:
    """In which slot a task runs, for how long at most, and in what kind of process.

    `needs_torch`: in one that has torch loaded; `is_fresh`: in one that was never used and ends
    with the task; `passes_to`: the tasks that it may hand over to; `gives_way`: it is stopped when
    any other waits for its slot.
    """

    limit_s: float
    slot: str = WORK
    needs_torch: bool = False
    is_fresh: bool = False
    passes_to: tuple[str, ...] = ()
    gives_way: bool = False


# What may hold an endless loop ends within half a minute; large files of good will may take longer
# at what comes after: on two busy cores, 30 s to convert TorchScript of 44 million parameters in 32
# blocks. So may small ones (16 s for 2.5 MB of .pt2 in 100 blocks): as neither time nor size tells
# good from bad, there is no shorter limit for all of an import; the page has a button that ends it.
TERMS = {
    "open_model": Terms(limit_s=180, passes_to=("latency",)),
    "compress": Terms(limit_s=600, passes_to=("latency",)),
    "latency": Terms(limit_s=60, slot=MEASURE, is_fresh=True),
    "import_files": Terms(limit_s=25, passes_to=("try_out", "convert", "import_data")),
    "try_out": Terms(limit_s=25, needs_torch=True, is_fresh=True, passes_to=("convert",)),
    "convert": Terms(limit_s=120, needs_torch=True, is_fresh=True, passes_to=("import_data",)),
    "import_data": Terms(limit_s=60),
    "sensitivity": Terms(limit_s=180),
    "survey": Terms(limit_s=180, passes_to=("latency",), gives_way=True),
    "spend": Terms(limit_s=600),
    "compare": Terms(limit_s=180),
    "weights": Terms(limit_s=60),
    "costs": Terms(limit_s=60, slot=MEASURE, is_fresh=True),
}
