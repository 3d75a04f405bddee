"""Metrics: one JSON object a line, which is the source of truth, and TensorBoard beside it."""

import gzip
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semore_fast import disk
from semore_fast.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Value = float | int | str | bool | None | list["Value"] | np.generic
_OWN_KEYS = ("kind", "frame", "step", "time_s")


class MetricsWriter:
    """Appends lines to `metrics.jsonl`. Each goes to the kernel at once, so that a killed run loses none.

    On resuming at `resume_frame`, lines of later frames (what the lost part of the run wrote) are removed,
    and so is a line that was cut off: write what belongs to frame F before the checkpoint of frame F.
    `notices` says what was removed.
    """

    def __init__(self, path: Path, *, resume_frame: int | None = None) -> None:
        """Open the file for appending. UserError if it cannot be written."""
        self._path = path
        self.notices: list[str] = []
        try:
            if resume_frame is not None and path.exists():
                self._forget_after(resume_frame)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, kind: str, *, frame: int, step: int, values: Mapping[str, Value]) -> None:
        """Append one line: kind ("train", "evaluate", ...), frame, step, time_s (Unix time) and `values`.

        Numbers that JSON lacks are written as the strings "nan", "inf" and "-inf". ValueError if `values` has
        one of the writer's own keys. UserError if the disk is full; the lines before are whole and stay.
        """
        taken = [key for key in _OWN_KEYS if key in values]
        if taken:
            raise ValueError(f"{taken[0]!r} is the writer's own key")
        record: dict[str, Value] = {"kind": kind, "frame": frame, "step": step, "time_s": round(time.time(), 3)}
        record |= {key: _json_value(value) for key, value in values.items()}
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        end_bytes = os.fstat(self._descriptor).st_size
        try:
            disk.write_all(self._descriptor, memoryview(line))
        except OSError as error:
            os.ftruncate(self._descriptor, end_bytes)
            raise self._failed(error) from error

    def sync(self) -> None:
        """Wait until all lines are on the disk: call it before a checkpoint. UserError if that fails."""
        try:
            disk.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _forget_after(self, frame: int) -> None:
        staged = self._path.with_name(f".{self._path.name}.tmp")
        kept = _Kept(self._path, frame)
        disk.write_file(staged, kept)
        if kept.dropped:
            disk.rename(staged, self._path)
            disk.fsync_directory(self._path.parent)
            self.notices.append(f"removed {kept.dropped} lines after frame {frame} from {self._path.name}")
        else:
            staged.unlink()

    def _failed(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write {self._path}: {error.strerror or error}; "
            "make room or make it writable, then resume (lines already written are kept)"
        )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a metrics file, parsed; one compressed by gzip is read as well.

    A last line that is cut off, as in a run that was killed or is being written, is left out. UserError if another
    line is damaged.
    """
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        lines = file.read().split("\n")
    records = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path} is damaged in line {number}: {error}; restore it, or leave the run out") from error
    return records


class TensorBoard:
    """Writes numbers for TensorBoard. Its faults never stop a run: `failure` says why writing ended."""

    def __init__(self, directory: Path, *, resume_frame: int | None = None) -> None:
        """Open nothing before the first write. On resuming, hide what was written after `resume_frame`."""
        self.failure: str | None = None
        self._writer: SummaryWriter | None = None
        self._directory = directory
        self._resume_frame = resume_frame

    def write(self, kind: str, *, frame: int, values: Mapping[str, Value]) -> None:
        """Write the finite numbers among `values` as `kind/name` at `frame`."""
        if self.failure is not None:
            return
        try:
            if self._writer is None:
                self._writer = _open_summary_writer(self._directory, self._resume_frame)
            for name, value in values.items():
                if isinstance(value, int | float | np.number) and math.isfinite(value):
                    self._writer.add_scalar(f"{kind}/{name}", float(value), frame)
        except OSError as error:
            self._give_up(error)

    def close(self) -> None:
        """Write out what is buffered and close."""
        if self._writer is None or self.failure is not None:
            return
        try:
            self._writer.close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.failure = f"TensorBoard stopped: {error.strerror or error} (metrics.jsonl goes on)"


class _Kept:
    """The lines of a metrics file up to a frame, as chunks, counting the others."""

    def __init__(self, path: Path, frame: int) -> None:
        self._path = path
        self._frame = frame
        self.dropped = 0

    def __iter__(self) -> Iterator[memoryview]:
        with self._path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n") and _frame_of(line) <= self._frame:
                    yield memoryview(line)
                else:
                    self.dropped += 1


def _frame_of(line: bytes) -> float:
    """Return the frame of a line; infinity if the line is damaged, so that it is dropped with the later ones."""
    try:
        record: Any = json.loads(line)
    except ValueError:
        return math.inf
    frame = record.get("frame") if isinstance(record, dict) else None
    return frame if isinstance(frame, int) else math.inf


def _json_value(value: Value) -> Value:
    if isinstance(value, list):
        return [_json_value(item) for item in value]
    plain: Value = value.item() if isinstance(value, np.generic) else value
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain


def _open_summary_writer(directory: Path, resume_frame: int | None) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter  # takes half a second: only for runs that write

    return SummaryWriter(str(directory), purge_step=None if resume_frame is None else resume_frame + 1)
