"""The paper's numbers, for comparison: Table 1 (methods) and Table 2 (ablations), as printed, on CARLA."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

_OUR_METRIC = {"crash_intensity": "crash_intensity_ns"}
_OUR_METHOD = {"m1": "semore-m1", "m2": "semore-m2", "m3": "semore-m3", "m4": "semore"}

Printed = tuple[float, float | None]
"""Mean and standard deviation; whether that is over seeds or episodes the paper does not say."""


@cache
def table1() -> dict[tuple[str, str, str], Printed]:
    """(scenario, method, metric) -> printed value."""
    return {
        (row["scenario"], row["method"], _OUR_METRIC.get(row["metric"], row["metric"])): (
            float(row["mean"]),
            float(row["std"]) if row["std"] else None,
        )
        for row in _rows("table1.csv")
    }


@cache
def table2() -> dict[tuple[str, str, str], Printed]:
    """(scenario, ablation under our name, metric) -> printed value."""
    return {
        (row["scenario"], ours, _OUR_METRIC.get(row["metric"], row["metric"])): (float(row[theirs]), None)
        for row in _rows("table2.csv")
        for theirs, ours in _OUR_METHOD.items()
    }


@cache
def printed() -> dict[tuple[str, str, str], Printed]:
    """Both tables; where both hold a value, Table 1's, which has its deviation."""
    return {**table2(), **table1()}


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("semore_fast.reporting") / "paper" / name).read_text()
    return list(csv.DictReader(text.splitlines()))
