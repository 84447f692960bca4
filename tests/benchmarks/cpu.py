"""What processes have taken of the processors, as Linux tells it."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def used_s(pid: int) -> float:
    """Of a process and all below it, those that have ended too."""
    parents, used = defaultdict[int, list[int]](list), dict[int, float]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            process = int(stat.parent.name)
            parents[int(fields[1])].append(process)
            used[process] = sum(map(int, fields[11:15])) / TICKS
    family = [pid]
    for member in family:
        family += parents[member]
    return sum(used.get(member, 0.0) for member in family)
