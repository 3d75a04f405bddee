import io

import pytest
from rich.console import Console

from semore_fast import progress
from semore_fast.progress import Progress, line, panel

STATUS = {
    "frame": 27_500,
    "updates": 6_875,
    "frames_per_s": 55.0,
    "updates_per_s": 13.75,
    "episode_return": 203.4,
    "episode_length": 250.0,
    "crash": 0.125,
    "loss": float("nan"),
    "temperature": 0.1,
    "budget": {"env": 0.25, "update": 0.5, "checkpoint": 0.001, "other": 0.249},
    "guidance": {"asked": 5121, "admitted": 4411},
}


def rendered(status, width):
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    console.print(panel("semore jw seed 1", status, 110_000))
    return console.export_text().splitlines()


def test_the_line_says_it_all():
    assert line(STATUS, 110_000) == (
        "frame 27,500/110,000 (25%) | 55 frames/s | 13.8 updates/s | return 203 | crash 0.125 | loss nan | "
        "ETA 0:25:00 | time env 25% update 50% other 25% | guidance asked 5,121 admitted 4,411"
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_says_the_same_and_fits(width):
    rows = rendered(STATUS, width)
    assert len({len(row) for row in rows}) == 1
    assert len(rows[0]) <= 80
    text = "\n".join(rows).replace("\u00a0", " ")
    for part in ("semore jw seed 1", "27,500 / 110,000 (25%)", "ETA 0:25:00", "55 frames/s", "13.8 updates/s"):
        assert part in text
    for part in ("return 203", "length 250", "crash 0.125", "updates 6,875", "loss nan", "asked 5,121", "update 50%"):
        assert part in text
    assert "checkpoint" not in text
    assert text.count("█") == 64


def test_the_budget_bar_is_as_long_as_the_shares():
    assert sum(row.count("█") for row in rendered({"budget": {"env": 0.5}}, 80)) == 32


def test_what_is_not_known_is_shown_as_absent():
    assert line({}, 100) == ("frame 0/100 (0%) | – frames/s | – updates/s | return – | crash – | loss – | ETA –")
    assert line({"frame": 100, "frames_per_s": 0.0}, 100).endswith("ETA –")
    assert len(rendered({}, 80)) == 6


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress, "perf_counter", lambda: now[0])
    return now


def test_without_a_terminal_one_line_an_interval(clock):
    file = io.StringIO()
    with Progress("t", 100, interval_s=10.0, console=Console(file=file)) as shown:
        for second in range(25):
            clock[0] = float(second)
            shown.update({"frame": second})
            if second == 12:
                shown.note("[red]literal[/red] \x1b[2J" + "x" * 100)
    output = file.getvalue().splitlines()
    assert [row.split("/")[0] for row in output] == ["frame 0", "frame 10", "[red]literal[", "frame 20", "frame 24"]
    assert output[2] == "[red]literal[/red] " + "x" * 100


def test_on_a_terminal_one_panel_is_redrawn(clock):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with Progress("t", 100, console=console) as shown:
        for frame in range(50):
            clock[0] = frame / 10
            shown.update({"frame": frame})
    drawn = file.getvalue().count("╭")
    assert 15 <= drawn <= 19  # five seconds, every quarter of one, at calls 0.1 s apart
    assert "49 / 100" in file.getvalue().rsplit("╭")[-1]
    assert "\x1b[?25h" in file.getvalue(), "the cursor is given back"


def test_a_run_without_a_status_shows_nothing():
    file = io.StringIO()
    Progress("t", 100, console=Console(file=file)).close()
    assert file.getvalue() == ""
