"""Keeps what matters of a pytest-benchmark report: `python bench/save.py REPORT.json bench/results/NAME.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SHARED = ("system", "peers", "allocator", "ceilings")
KEPT = ("min", "median", "iqr", "rounds")


def shorten(report: dict[str, Any]) -> dict[str, Any]:
    """Medians and spread in milliseconds, each benchmark's own figures, and once what they all share."""
    rows, shared = {}, {}
    for bench in report["benchmarks"]:
        extra = dict(bench["extra_info"])
        shared |= {name: extra.pop(name) for name in SHARED if name in extra}
        stats = {name: bench["stats"][name] for name in KEPT}
        times_ms = {f"{name}_ms": round(1e3 * value, 4) for name, value in stats.items() if name != "rounds"}
        rows[bench["name"]] = {**times_ms, "rounds": stats["rounds"], **extra}
    return {"date": report["datetime"][:10], **shared, "benchmarks": rows}


def main(source: str, target: str) -> None:
    """Reads a report and writes the short form."""
    short = shorten(json.loads(Path(source).read_text()))
    Path(target).write_text(json.dumps(short, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
