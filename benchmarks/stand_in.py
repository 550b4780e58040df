"""Measures the latency of a model again and again on the last core, until it is stopped.

python -m benchmarks.stand_in FILE
"""

import os
import sys

from explorer import load, measure_latency


def main() -> None:
    """Never ends by itself."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    model = load(sys.argv[1])
    while True:
        measure_latency(model)


if __name__ == "__main__":
    main()
