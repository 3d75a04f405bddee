"""The kept sweep's report is what its kept logs give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from semore_fast.report import main

ROOT = Path(__file__).parents[1]
SWEEP = "bench/results/sweep-jw"


def test_the_kept_report_follows_from_the_kept_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    makefile = (ROOT / "Makefile").read_text()
    title = re.search(r"--title '(.+)'", makefile)
    assert title is not None
    assert main([SWEEP, "--out", str(tmp_path), "--title", title.group(1)]) == 0
    for name in ("report.md", "report.csv"):
        again = (tmp_path / name).read_text().replace(str(tmp_path), f"{SWEEP}/report")
        assert again == (ROOT / SWEEP / "report" / name).read_text()
