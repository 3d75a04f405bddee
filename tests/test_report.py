"""The report: what it says of runs made up here, and of what is missing or damaged."""

from __future__ import annotations

import csv
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semore_fast.config import to_dict
from semore_fast.errors import UserError
from semore_fast.presets import PRESETS
from semore_fast.report import main
from semore_fast.reporting.findings import findings
from semore_fast.reporting.runs import find_runs, read_run
from semore_fast.reporting.study import Study, normalised

EPISODES = 12


def figures(returns: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"episodes": len(returns), "steer_percent": 10.0, "brake_percent": 2.5, "collision_ends": 0.1}
    for name, values in {
        "episode_return": returns,
        "distance_m": returns + 20,
        "crash_intensity_ns": returns * 9,
    }.items():
        row |= {name: values.mean(), f"{name}/std": values.std(), f"{name}/standard_error": values.std() / 3}
    return row


def write_run(
    folder: Path, agent: str, seed: int, *, scenario: str = "jw", level: float = 100.0, gap: float = 0.0,
    finished: bool = True, packed: bool = False, drivers: bool = True, **settings: Any,
) -> Path:  # fmt: skip
    """A run directory as train leaves it, with returns around `level`."""
    path = folder / f"{scenario}-{agent}-{seed}"
    path.mkdir(parents=True)
    config = (
        to_dict(PRESETS["laptop"]) | {"scenario": scenario, "agent": agent, "seed": seed, "frames": 4000} | settings
    )
    (path / "config.json").write_text(json.dumps(config))
    lines = [
        {"kind": kind, "frame": frame, "step": frame // 4, "time_s": 1000.0 + frame / 50, **values}
        for frame in (1000, 2000, 3000, 4000)
        for kind, values in (
            ("train", {"frames_per_s": 50.0, "updates_per_s": 12.0, "time/update": 0.9, "time/env": 0.1}),
            ("evaluation", {"episode_return": level * frame / 4000, "episode_return/standard_error": 5.0}),
        )
    ]
    text = "".join(json.dumps(line) + "\n" for line in (lines if finished else lines[:4]))
    (path / "metrics.jsonl").write_text(text) if not packed else None
    if packed:
        (path / "metrics.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    if finished:
        returns = np.random.default_rng(seed).normal(level, 10, EPISODES)
        hidden = returns - gap
        named = {"full_throttle": figures(np.full(EPISODES, 50.0)), "privileged": figures(np.full(EPISODES, 250.0))}
        summary = {
            "scenario": scenario, "agent": agent, "preset": "laptop", "seed": seed, "frames": 4000,
            "seen": figures(returns), "not_drawn": figures(hidden),
            "gap": {"mean": gap, "standard_error": 4.0, "episodes": EPISODES},
            "episode_returns": {"seen": list(returns), "not_drawn": list(hidden)},
            "drivers": named if drivers else {},
        }  # fmt: skip
        (path / "summary.json").write_text(json.dumps(summary))
    return path


def report(folder: Path, *extra: str) -> Path:
    out = folder.parent / "report"
    assert main([str(folder), "--out", str(out), *extra]) == 0
    return out


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "sweep"
    for seed in (1, 2, 3):
        write_run(folder, "sac", seed, level=100)
        write_run(folder, "semore", seed, level=200, gap=40, packed=seed == 2)
        write_run(folder, "semore-m1", seed, level=100 + 20 * seed)
    return folder


class Page(HTMLParser):
    """Collects what a browser would fetch, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_fetches_nothing(sweep: Path) -> None:
    html = (report(sweep) / "report.html").read_text()
    page = Page(html)
    assert page.open == []
    assert [url for url in page.fetched if not url.startswith(("#", "data:"))] == []
    assert "<script" not in html
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_main_table_holds_means_spreads_and_the_papers_values(sweep: Path) -> None:
    text = (report(sweep) / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| semore |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    every = np.concatenate([np.random.default_rng(seed).normal(200, 10, EPISODES) for seed in (1, 2, 3)])
    assert cells[:3] == ["semore", "3", f"{every.mean():.0f} ± {every.std():.0f}<br><sub>paper 201 ± 54</sub>"]
    assert cells[5] == "10.0<br><sub>paper 13.91</sub>"
    assert cells[8:] == ["40<br><sub>40 40 40</sub>", "3 of 3"]
    assert "| privileged<br><sub>reference driver</sub> | – | 250 ± 0 |" in text
    assert "| jw, distance m | " in text
    assert "paper 127" in text  # Table 2, M1


def test_findings_name_the_best_who_sees_and_what_cannot_be_told(sweep: Path) -> None:
    told = findings(Study(find_runs([sweep])), "jw")
    assert told[0].startswith("3 of 9 runs drive by what they see (semore 3 of 3)")
    assert "highest return is semore's" in told[1]
    assert told[1].endswith("with 3 runs a method no difference at all could reach the 5 % level: do not rank.")
    assert "must differ by about" in told[2]
    assert "too narrow" in told[2]
    assert "earns 50" in told[3]


def test_only_methods_that_differ_are_said_to(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    for seed in (1, 2, 3, 4):
        write_run(folder, "sac", seed, level=100 + 10 * seed)
        write_run(folder, "curl", seed, level=101 + 10 * seed)
        write_run(folder, "drq", seed, level=10 * seed)
    assert "curl's" in (told := findings(Study(find_runs([folder])), "jw")[1])
    assert "; it differs from drq (permutation test" in told


def test_csv_has_every_run_and_metric(sweep: Path) -> None:
    rows = list(csv.DictReader((report(sweep) / "report.csv").open()))
    assert len(rows) == 9 * 5
    found = next(r for r in rows if (r["method"], r["seed"], r["metric"]) == ("sac", "2", "episode_return"))
    assert float(found["value"]) == pytest.approx(np.random.default_rng(2).normal(100, 10, EPISODES).mean(), rel=1e-5)
    assert (found["paper_mean"], found["paper_std"]) == ("103.0", "72.0")


def test_settings_that_differ_are_said(sweep: Path) -> None:
    assert "every setting, the commit and all versions are the same" in (report(sweep) / "report.md").read_text()
    write_run(sweep, "curl", 1, frames=9000)
    text = (report(sweep) / "report.md").read_text()
    assert "| frames | 9000: jw-curl-1; 4000: jw-sac-1, jw-sac-2, jw-sac-3 and 6 more |" in text


def test_unfinished_runs_are_failures_and_count_in_no_table(sweep: Path) -> None:
    write_run(sweep, "sac", 4, finished=False)
    (sweep / "logs").mkdir()
    (sweep / "logs" / "jw-sac-4.log").write_text("frame 1\nerror: out of memory | really\n")
    text = (report(sweep) / "report.md").read_text()
    assert "9 finished runs of 10" in text
    assert "at frame 2,000 of 4,000; its output ends: error: out of memory \\| really" in text
    assert next(line for line in text.splitlines() if line.startswith("| sac |")).startswith("| sac | 3 |")


def test_scenarios_are_put_on_one_scale_by_the_reference_drivers(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    for scenario in ("jw", "hw"):
        for seed in (1, 2):
            write_run(folder, "sac", seed, scenario=scenario, level=150)
    study = Study(find_runs([folder]))
    scores = normalised(study, "sac", study.scenarios)
    assert scores.shape == (2, 2)
    expected = (np.random.default_rng(1).normal(150, 10, EPISODES).mean() - 50) / 200
    assert scores[0] == pytest.approx([expected, expected])
    assert "All scenarios together" in (report(folder) / "report.md").read_text()


def test_one_run_makes_a_report_without_intervals(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep", "sac", 1, drivers=False)
    text = (report(tmp_path / "sweep") / "report.md").read_text()
    assert "one run: no interval" in text
    assert "returns have no scale here" in text
    assert "Probability of improvement" not in text


def test_no_finished_run_is_said_rather_than_crashed_over(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep", "sac", 1, finished=False)
    assert "No run is finished yet" in (report(tmp_path / "sweep") / "report.html").read_text()


def test_the_same_runs_give_the_same_bytes(sweep: Path) -> None:
    files = ("report.html", "report.md", "report.csv", "figures/jw-return.svg")
    out = report(sweep)
    first = {name: (out / name).read_bytes() for name in files}
    report(sweep)
    assert {name: (out / name).read_bytes() for name in files} == first


def test_names_are_escaped(sweep: Path) -> None:
    assert "<b>&" not in (report(sweep, "--title", "<b>&") / "report.html").read_text()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give at least one run directory"):
        main([])
    with pytest.raises(UserError, match=r"nowhere is not a directory; give run directories"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="holds no run"):
        main([str(tmp_path)])
    run = write_run(tmp_path / "a", "sac", 1)
    write_run(tmp_path / "b", "sac", 1)
    with pytest.raises(UserError, match="are both jw-sac-1: give one of them"):
        main([str(tmp_path / "a"), str(tmp_path / "b")])
    (run / "metrics.jsonl").write_text('{"kind":"train"\n{}\n')
    with pytest.raises(UserError, match="damaged in line 1"):
        main([str(run)])
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match=r"--out .* cannot be written"):
        main([str(run), "--out", str(run / "config.json" / "x")])


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "sac", 1)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind":"evaluation","fra')
    assert len(read_run(run).curve) == 4


def test_runs_on_carla_show_no_gap_and_say_why(tmp_path: Path) -> None:
    for seed in (1, 2):
        path = write_run(tmp_path / "sweep", "sac", seed, drivers=False, sim="carla")
        summary = json.loads((path / "summary.json").read_text())
        summary |= {"not_drawn": None, "gap": None, "left_out": "CARLA cannot hide them"}
        (path / "summary.json").write_text(json.dumps(summary))
    text = (out := report(tmp_path / "sweep")).joinpath("report.md").read_text()
    assert "driven through CARLA's client" in text
    assert "Nothing shows whether these runs drive by what they see" in text
    assert "not measured" in text
    assert not list((out / "figures").glob("*gap*"))
    assert "gap" not in (out / "report.html").read_text().split("<h3>")[0].split("<h2>")[1]
    write_run(tmp_path / "sweep", "semore", 1, gap=40)
    text = (report(tmp_path / "sweep") / "report.md").read_text()
    assert "do not compare them with the others" in text
    assert "1 of 1 runs drive by what they see" in text
