"""How a run is doing: a live panel on a terminal, single lines elsewhere, from the same status."""

from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import TypedDict

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

REFRESH_INTERVAL_S = 0.25
_ABSENT = "–"
_NO_BREAK = "\u00a0"
_BAR_WIDTH = 64
_CELL_WIDTH = 21
# One colour a section, told apart on dark and light backgrounds.
_SECTION_STYLES = {
    "env": "green",
    "act": "cyan",
    "sample": "blue",
    "update": "magenta",
    "guidance": "yellow",
    "evaluate": "red",
    "checkpoint": "bright_black",
    "other": "white",
}


class Status(TypedDict, total=False):
    """What a run reports; what is left out is shown as absent.

    `crash` is the share of recent episodes with a collision, or any number the scenario calls so; `budget`
    the shares of wall time by section (they add up to 1); `guidance` and `carla` counts by name.
    """

    frame: int
    updates: int
    frames_per_s: float
    updates_per_s: float
    episode_return: float
    episode_length: float
    crash: float
    loss: float
    temperature: float
    budget: Mapping[str, float]
    guidance: Mapping[str, int]
    carla: Mapping[str, int]


class Progress:
    """Shows a `Status` of a run of `total_frames`: a panel if `console` is a terminal, else a line every
    interval.

    Updating is cheap: between refreshes it only keeps the status.
    """

    def __init__(
        self, title: str, total_frames: int, *, interval_s: float = 10.0, console: Console | None = None
    ) -> None:
        self._title = title
        self._total_frames = total_frames
        self._console = console if console is not None else Console()
        self._live: Live | None = None
        self._interval_s = interval_s
        if self._console.is_terminal:
            self._interval_s = REFRESH_INTERVAL_S
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._status: Status = {}
        self._shown_s = float("-inf")
        self._closed = False
        self._unseen = False

    def update(self, status: Status) -> None:
        """Take the latest status, and show it if the last showing is an interval old."""
        self._status = status
        self._unseen = True
        now_s = perf_counter()
        if now_s - self._shown_s >= self._interval_s:
            self._shown_s = now_s
            self._show()

    def note(self, text: str) -> None:
        """Print one line that stays. The text is taken literally, whatever brackets or codes it holds."""
        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        """Show the last status and give the terminal back. Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._unseen:
            self._show()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _show(self) -> None:
        self._unseen = False
        if not self._status:
            return
        if self._live is not None:
            self._live.update(panel(self._title, self._status, self._total_frames), refresh=True)
        else:
            self._console.print(Text(line(self._status, self._total_frames)), soft_wrap=True)


def line(status: Status, total_frames: int) -> str:
    """Return the status as one line for a log file."""
    frame = status.get("frame", 0)
    parts = [
        f"frame {frame:,}/{total_frames:,} ({_percent(frame, total_frames)})",
        f"{_number(status.get('frames_per_s'))} frames/s",
        f"{_number(status.get('updates_per_s'))} updates/s",
        f"return {_number(status.get('episode_return'))}",
        f"crash {_number(status.get('crash'))}",
        f"loss {_number(status.get('loss'))}",
        f"ETA {_eta(status, total_frames)}",
    ]
    if budget := status.get("budget"):
        parts.append("time " + " ".join(f"{name} {share:.0%}" for name, share in _visible(budget)))
    for name in ("guidance", "carla"):
        if counts := _counted(status, name):
            parts.append(f"{name} " + " ".join(counts))
    return " | ".join(parts)


def panel(title: str, status: Status, total_frames: int) -> Panel:
    """Return the status as a panel that is tidy from 80 columns on."""
    frame = status.get("frame", 0)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        ProgressBar(total=max(1, total_frames), completed=frame, width=24),
        Text(f"{frame:,} / {total_frames:,} ({_percent(frame, total_frames)})"),
        Text(f"ETA {_eta(status, total_frames)}"),
    )
    table.add_row("frames", progress)
    table.add_row("speed", _values(status, {"frames_per_s": "frames/s", "updates_per_s": "updates/s"}, after=True))
    names = {"episode_return": "return", "episode_length": "length", "crash": "crash"}
    table.add_row("episode", _values(status, names))
    table.add_row("learner", _values(status, {"updates": "updates", "loss": "loss", "temperature": "temperature"}))
    if budget := status.get("budget"):
        table.add_row("time", _budget_bar(budget))
    for name in ("guidance", "carla"):
        if counts := _counted(status, name):
            table.add_row(name, Text("   ".join(counts)))
    return Panel(table, title=Text(title), title_align="left", expand=False)


def _values(status: Status, names: Mapping[str, str], *, after: bool = False) -> Text:
    cells = []
    for key, name in names.items():
        value = _number(status.get(key))
        cells.append((f"{value} {name}" if after else f"{name} {value}").ljust(_CELL_WIDTH))
    return Text("".join(cells).rstrip())


def _budget_bar(budget: Mapping[str, float]) -> RenderableType:
    """Return a bar with one stretch a section, as long as its share, above their names."""
    bar, legend = Text(no_wrap=True), Text()
    edge, drawn = 0.0, 0
    for name, share in _visible(budget):
        edge += share
        cells = round(edge * _BAR_WIDTH) - drawn
        drawn += cells
        bar.append("█" * cells, style=_SECTION_STYLES.get(name, "white"))
        legend.append("■", style=_SECTION_STYLES.get(name, "white"))
        legend.append(f"{_NO_BREAK}{name}{_NO_BREAK}{share:.0%}  ")
    return Group(bar, legend)


def _counted(status: Status, name: str) -> list[str]:
    """Return what guidance did or CARLA's servers went through, without what never happened."""
    counts: Mapping[str, int] = status.get(name, {})  # type: ignore[assignment]  # a name of one of the two
    return [f"{event} {count:,}" for event, count in counts.items() if count]


def _visible(budget: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the sections that would not show as 0 %."""
    return [(name, share) for name, share in budget.items() if share >= 0.005]


def _number(value: object) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, int):
        return f"{value:,}"
    number = float(str(value))
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _percent(frame: int, total_frames: int) -> str:
    return f"{frame / total_frames:.0%}" if total_frames else "100%"


def _eta(status: Status, total_frames: int) -> str:
    rate_hz = status.get("frames_per_s", 0.0)
    if not rate_hz > 0:
        return _ABSENT
    seconds = round((total_frames - status.get("frame", 0)) / rate_hz)
    hours, rest = divmod(max(0, seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
