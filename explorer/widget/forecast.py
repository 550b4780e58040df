"""The survey as the panel reads it, to predict with (`js/forecast.js`)."""

from collections.abc import Mapping
from typing import Any

LATENCY = ":latency"


def surveyed(parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each setting with its output error and quality, and its latency's ratio where it was timed.

    `parts` are those of a survey (`explorer.jobs.steps.survey`), by the setting's name.
    """
    points = []
    for name, part in parts.items():
        if not name.endswith(LATENCY):
            latency = parts.get(f"{name}{LATENCY}")
            points.append({**part, "latency": latency["ratio"] if latency else None})
    return points
