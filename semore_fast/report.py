"""What many runs say: `python -m semore_fast.report runs/sweep` writes a page, the same as Markdown, and CSV."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from semore_fast.errors import UserError, run_cli

DESCRIPTION = """Compare runs: tables, intervals, learning curves, what was seen, what it cost.

Writes report.html (one file, works offline), report.md with figures/, and report.csv."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportConfig:
    """What to compare, and where to write."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories, or folders of them such as a sweep's --out."""
    out: Path = Path("runs/report")
    """Folder of the report."""
    title: str = "Semore and its baselines"
    """Of the page."""


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the report."""
    config = tyro.cli(ReportConfig, args=list(argv), description=DESCRIPTION, prog="python -m semore_fast.report")
    if not config.runs:
        raise UserError("give at least one run directory, or a folder of them such as runs/sweep")
    from semore_fast.reporting.page import build, render, to_csv
    from semore_fast.reporting.runs import find_runs
    from semore_fast.reporting.study import Study

    study = Study(find_runs(config.runs))
    command = shlex.join(["python", "-m", "semore_fast.report", *argv])
    report = build(study, config.title, command)
    files = {
        "report.html": render(report, "report.html"),
        "report.md": render(report, "report.md"),
        "report.csv": to_csv(study),
    }
    for section in report.sections:
        for name, svg in section.figures.items():
            files[f"figures/{section.scenario}-{name}.svg"] = svg
    _write(config.out, files)
    print(report.subject)
    for section in report.sections:
        print("\n".join(f"- {section.scenario}: {sentence}" for sentence in section.findings))
    print(f"{config.out / 'report.html'}, report.md, report.csv")
    return 0


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}; give another folder") from error


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
