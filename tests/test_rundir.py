import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semore_fast import disk
from semore_fast.errors import UserError
from semore_fast.rundir import MANIFEST, RunDirectory, differences

ROOT = Path(__file__).resolve().parent.parent
CONFIG = {"seed": 1, "agent": {"name": "semore", "lr": 1e-3, "strides": (2, 1)}, "frames": 100}

HOLDER = """
import sys, time
from pathlib import Path
from semore_fast.errors import UserError
from semore_fast.lock import RunLock
sys.stdin.readline()
try:
    lock = RunLock(Path(sys.argv[1]))
except UserError as error:
    print("refused", error, flush=True)
else:
    print("held", lock.notices, flush=True)
    sys.stdin.readline()
"""


def holder(path, *, go=True):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if go:
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("held")
    return process


def test_a_new_run_is_written_and_resumed(tmp_path):
    path = tmp_path / "runs" / "a"
    with RunDirectory.open(path, CONFIG) as run:
        assert not run.resumed
        assert run.notices == []
        run.write_json("summary.json", {"distance_m": 3.5})
    assert json.loads((path / "config.json").read_text()) == json.loads(json.dumps(CONFIG))
    with RunDirectory.open(path, CONFIG) as run:
        assert run.resumed
        assert run.notices == []
    reader = RunDirectory.read(path)
    assert reader.config["agent"]["strides"] == [2, 1]
    assert reader.read_json("summary.json") == {"distance_m": 3.5}
    with pytest.raises(UserError, match=r"nothing.json cannot be read: No such file"):
        reader.read_json("nothing.json")
    assert (reader.checkpoints.name, reader.metrics.name) == ("checkpoints", "metrics.jsonl")


def test_a_run_killed_before_its_config_was_written_starts_afresh(tmp_path):
    (tmp_path / ".lock").write_text("")
    (tmp_path / ".config.json.tmp").write_text("{")
    with RunDirectory.open(tmp_path, CONFIG) as run:
        assert not run.resumed


def test_another_config_is_refused_field_by_field(tmp_path):
    RunDirectory.open(tmp_path, CONFIG).close()
    other = {"seed": 2, "agent": {"name": "semore", "lr": 1e-4, "strides": (2, 1)}, "frames": 200}
    with pytest.raises(UserError) as refusal:
        RunDirectory.open(tmp_path, other, may_differ=["frames"])
    text = str(refusal.value)
    assert "agent.lr: saved 0.001, given 0.0001; seed: saved 1, given 2" in text
    assert "frames" not in text
    assert "\n" not in text
    RunDirectory.open(tmp_path, CONFIG).close()  # the refusal gave the lock back and changed nothing


def test_fields_that_may_differ_take_the_new_value_and_say_so(tmp_path):
    RunDirectory.open(tmp_path, CONFIG).close()
    with RunDirectory.open(tmp_path, CONFIG | {"frames": 200}, may_differ=["frames"]) as run:
        assert run.notices == ["changed on resuming: frames: saved 100, given 200"]
    assert RunDirectory.read(tmp_path).config["frames"] == 200


def test_differences_tell_missing_fields_and_types_apart():
    found = differences({"a": 1, "b": {"c": True}, "d": {}}, {"a": 1.0, "b": {"c": 1}, "e": None})
    assert found == {
        "a": "a: saved 1, given 1.0",
        "b.c": "b.c: saved true, given 1",
        "d": "d: saved {}, given (not set)",
        "e": "e: saved (not set), given null",
    }
    assert differences({"a": (1, 2)}, {"a": [1, 2]}) == {}


def test_a_live_run_is_refused_and_a_killed_one_taken_over(tmp_path):
    process = holder(tmp_path)
    try:
        with pytest.raises(UserError, match=rf"in use by process {process.pid} on \S+; wait for it, stop it"):
            RunDirectory.open(tmp_path, CONFIG)
        assert not (tmp_path / "config.json").exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    with RunDirectory.open(tmp_path, CONFIG) as run:
        (notice,) = run.notices
        assert f"took over from process {process.pid}" in notice
        assert "gone" in notice
    with RunDirectory.open(tmp_path, CONFIG) as run:
        assert run.notices == []


def test_of_many_racing_for_a_stale_lock_one_wins(tmp_path):
    (tmp_path / ".lock").write_text('{"pid": 999999999, "host": "elsewhere", "start_ticks": 1}')
    racers = [holder(tmp_path, go=False) for _ in range(6)]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate("\n", timeout=30)
    assert sorted(answer.split()[0] for answer in answers) == ["held"] + ["refused"] * 5
    assert "process 999999999 on elsewhere" in next(answer for answer in answers if answer.startswith("held"))


def test_not_a_directory(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "run"):
        with pytest.raises(UserError, match=r"--out .* is not a directory; give"):
            RunDirectory.open(path, CONFIG)
    with pytest.raises(UserError, match="is not a directory; give the directory"):
        RunDirectory.read(file)


def test_a_directory_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"is not empty \(it has thesis.tex\) and is not a run directory"):
        RunDirectory.open(tmp_path, CONFIG)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(UserError, match=r"is not a run directory: it has no config.json"):
        RunDirectory.read(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        RunDirectory.read(tmp_path / "nothing")


def test_a_damaged_config(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 1')
    with pytest.raises(UserError, match=r"config.json is damaged, not valid JSON"):
        RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="should hold a JSON object"):
        RunDirectory.read(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a filesystem that takes no files")
def test_a_place_that_takes_no_files():
    with pytest.raises(
        UserError, match=r"--out /proc/semore-run cannot be written: .*; give a directory you can write"
    ):
        RunDirectory.open(Path("/proc/semore-run"), CONFIG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_directory(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied; give a directory you can write"):
        RunDirectory.open(tmp_path, CONFIG)


@pytest.mark.parametrize("primitive", ["create", "write", "fsync", "rename"])
@pytest.mark.parametrize(("code", "fix"), [(errno.EROFS, "give a directory"), (errno.ENOSPC, "make room")])
def test_a_disk_that_refuses_keeps_the_old_file_and_names_the_fix(tmp_path, monkeypatch, code, fix, primitive):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    with RunDirectory.open(tmp_path, CONFIG) as run:
        run.write_json("summary.json", {"a": 1})
        monkeypatch.setattr(disk, primitive, refuse)
        with pytest.raises(UserError, match=fix):
            run.write_json("summary.json", {"a": 2})
        assert run.read_json("summary.json") == {"a": 1}


def test_room_is_asked_for_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1_500_000_000)
    with pytest.raises(UserError, match=r"needs 2 TB of disk, 1.5 GB are free; make room"):
        RunDirectory.open(tmp_path, CONFIG, needed_bytes=2 * 10**12)
    RunDirectory.open(tmp_path, CONFIG, needed_bytes=10**9).close()


def test_json_that_is_not_valid_is_refused(tmp_path):
    with RunDirectory.open(tmp_path, CONFIG) as run, pytest.raises(ValueError, match="JSON compliant"):
        run.write_json("summary.json", {"loss": float("nan")})


def test_what_the_scenario_was_is_compared_with_what_it_is(tmp_path):
    with RunDirectory.open(tmp_path / "run", {"seed": 1}) as run:
        assert run.scenario_changes({"speed": 1, "road": {"lanes": [1, 2]}}) == []
        run.write_json(MANIFEST, {"scenario": {"speed": 1, "road": {"lanes": [1, 2]}}})
        assert run.scenario_changes({"speed": 1, "road": {"lanes": (1, 2)}}) == []
        said = run.scenario_changes({"speed": 2, "road": {"lanes": (1, 2), "fence": None}})
    wanted = ["road.fence: saved (not set), given null", "speed: saved 1, given 2"]
    assert [text.partition(": ")[2] for text in said] == wanted
