"""What kind of machine the numbers come from."""

import os
from pathlib import Path

from explorer.description import Host
from explorer.measure.runtime import RUNTIME

CPU_INFO = Path("/proc/cpuinfo")
VNNI_FLAGS = {"avx512_vnni", "avx_vnni"}  # 8-bit dot products in one instruction


def describe_host() -> Host:
    """Processor, cores, runtime, and whether 8-bit dot products are fast here (None: unknown)."""
    fields = _first_processor()
    flags = set(fields.get("flags", "").split())
    return Host(
        cpu=fields.get("model name", "unknown processor"),
        cores=os.cpu_count() or 1,
        runtime=RUNTIME,
        has_vnni=bool(flags & VNNI_FLAGS) if flags else None,
    )


def _first_processor() -> dict[str, str]:
    if not CPU_INFO.exists():
        return {}
    block = CPU_INFO.read_text().split("\n\n")[0]
    pairs = [line.split(":", 1) for line in block.splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, value in pairs}
