import errno
import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semore_fast import disk
from semore_fast.errors import UserError
from semore_fast.logging import MetricsWriter, TensorBoard

ROOT = Path(__file__).resolve().parent.parent


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def lines(path):
    return [strict(line) for line in path.read_text().splitlines()]


def write_frames(path, frames, **options):
    writer = MetricsWriter(path, **options)
    for frame in frames:
        writer.write("train", frame=frame, step=frame // 4, values={"loss": frame / 3})
    writer.close()
    return writer.notices


def test_lines_hold_what_was_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)
    values = {"loss": 0.5, "note": 'a "b"\n', "none": None, "shares": [0.25, 0.75], "numpy": np.float32(1.5)}
    writer.write("evaluate", frame=8, step=2, values=values)
    (record,) = lines(path)  # at once, not at close
    time_s = record.pop("time_s")
    assert record == {"kind": "evaluate", "frame": 8, "step": 2, **values, "numpy": 1.5}
    assert 1.7e9 < time_s < 1e10
    writer.close()


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_numbers_that_json_lacks_are_written_out(tmp_path, kind):
    writer = MetricsWriter(tmp_path / "m")
    values = {"a": kind("nan"), "b": [kind("inf"), kind("-inf"), [kind("nan")]]}
    writer.write("train", frame=0, step=0, values=values)
    writer.close()
    (record,) = lines(tmp_path / "m")
    assert (record["a"], record["b"]) == ("nan", ["inf", "-inf", ["nan"]])


def test_own_keys_are_refused(tmp_path):
    writer = MetricsWriter(tmp_path / "m")
    with pytest.raises(ValueError, match="'frame' is the writer's own key"):
        writer.write("train", frame=0, step=0, values={"frame": 1})
    writer.close()


def test_no_line_from_the_future_stays(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_frames(path, range(0, 100, 10))
    before = path.read_bytes()
    assert write_frames(path, [60], resume_frame=50) == ["removed 4 lines after frame 50 from metrics.jsonl"]
    assert [record["frame"] for record in lines(path)] == [0, 10, 20, 30, 40, 50, 60]
    assert path.read_bytes().splitlines()[:6] == before.splitlines()[:6]
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


def test_nothing_to_remove_changes_nothing(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert write_frames(path, [], resume_frame=50) == []
    write_frames(path, [10, 50])
    inode = path.stat().st_ino
    assert write_frames(path, [], resume_frame=50) == []
    assert path.stat().st_ino == inode
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


@pytest.mark.parametrize("tail", [b'{"kind":"train","frame":3', b'{"frame":3}', b"\x00\xff\n", b"[]\n", b"{}\n"])
def test_a_line_cut_off_or_damaged_is_removed(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    write_frames(path, [1, 2])
    with path.open("ab") as file:
        file.write(tail)
    assert write_frames(path, [4], resume_frame=3) == ["removed 1 lines after frame 3 from metrics.jsonl"]
    assert [record["frame"] for record in lines(path)] == [1, 2, 4]


def test_a_full_disk_keeps_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    writer = MetricsWriter(path)
    writer.write("train", frame=1, step=1, values={})
    real, calls = disk.write, []

    def fill_up(descriptor, data):
        calls.append(data.nbytes)
        if len(calls) == 1:
            return real(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write", fill_up)
    with pytest.raises(
        UserError, match=r"metrics.jsonl: No space left on device; make room .*already written are kept"
    ):
        writer.write("train", frame=2, step=2, values={})
    monkeypatch.undo()
    assert [record["frame"] for record in lines(path)] == [1]
    writer.write("train", frame=3, step=3, values={})
    writer.close()
    assert [record["frame"] for record in lines(path)] == [1, 3]


@pytest.mark.parametrize("index", range(4))
def test_a_fault_while_removing_lines_keeps_them(tmp_path, monkeypatch, index):
    path = tmp_path / "metrics.jsonl"
    write_frames(path, [1, 2, 3])
    before = path.read_bytes()

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk, ("create", "write", "fsync", "rename")[index], fail)
    with pytest.raises(UserError, match="Input/output error"):
        MetricsWriter(path, resume_frame=1)
    assert path.read_bytes() == before


def test_a_place_that_takes_no_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*: No such file or directory"):
        MetricsWriter(tmp_path / "nowhere" / "metrics.jsonl")


def scalars(directory):
    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_holds_finite_numbers_and_hides_the_future(tmp_path):
    board = TensorBoard(tmp_path)
    for frame in (10, 20, 30):
        board.write("train", frame=frame, values={"loss": float(frame), "nan": float("nan"), "name": "x"})
    board.close()
    again = TensorBoard(tmp_path, resume_frame=20)
    again.write("train", frame=40, values={"loss": 4.0})
    again.close()
    assert (board.failure, again.failure) == (None, None)
    assert scalars(tmp_path) == {"train/loss": [(10, 10.0), (20, 20.0), (40, 4.0)]}


def test_tensorboard_never_stops_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    board = TensorBoard(tmp_path / "file")
    board.write("train", frame=1, values={"loss": 1.0})
    assert board.failure is not None
    assert "metrics.jsonl goes on" in board.failure
    board.write("train", frame=2, values={"loss": 1.0})
    board.close()


def test_tensorboard_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # TensorBoard's thread reports it there as well
    board = TensorBoard(tmp_path)
    board.write("train", frame=0, values={"loss": 1.0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, hard))
    try:
        for frame in range(2000):
            board.write("train", frame=frame, values={"a_long_name_to_fill_the_file": 1.0})
        board.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert board.failure is not None
    assert "File too large" in board.failure


def test_the_module_does_not_stand_in_for_the_standard_library():
    code = "import semore_fast.logging, logging, sys; print(logging.getLogger.__module__, 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["logging", "False"]
