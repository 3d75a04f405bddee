import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semore_fast import allocator, system
from semore_fast.errors import UserError, run_cli

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import os, sys
from semore_fast.allocator import reexec_with_tuned_allocator
state = reexec_with_tuned_allocator(sys.argv[1:])
print(state, os.getpid(), "torch" in sys.modules, os.environ.get("MALLOC_MMAP_MAX_"), sys.argv[1:], sep="|")
"""


def probe(*arguments, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "SEMORE_"))}
    command = [sys.executable, "-c", PROBE, *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    state, pid, torch_loaded, mmap_max, argv = output.strip().split("|")
    assert int(pid) == process.pid  # replaced, not forked: signals and locks go to the right process
    assert torch_loaded == "False"
    assert argv == str(list(arguments))
    return state, mmap_max


glibc = pytest.mark.skipif(allocator.platform.libc_ver()[0] != "glibc", reason="tunes glibc only")


@glibc
def test_the_program_is_started_anew_once_with_its_arguments():
    assert probe("--seed", "1", "a b") == ("tuned", "0")


@glibc
@pytest.mark.parametrize("flag", ["--no-tuned-allocator", "--help", "-h"])
def test_flags_that_leave_the_allocator_alone(flag):
    state, mmap_max = probe(flag)
    assert state.startswith("default (")
    assert mmap_max == "None"


@glibc
def test_a_setting_of_the_user_is_left_as_it_is():
    state, mmap_max = probe(MALLOC_ARENA_MAX="1")
    assert state == "default (MALLOC_ARENA_MAX is set already)"
    assert mmap_max == "None"


@pytest.mark.parametrize(
    ("library", "argv", "reason"),
    [("", ["python", "-m", "x"], "not glibc"), ("glibc", ["python", "-"], "cannot be started anew")],
)
def test_where_it_cannot_work_it_says_so(monkeypatch, library, argv, reason):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(allocator.sys, "orig_argv", argv)
    monkeypatch.setattr(allocator.os, "execve", lambda *_: pytest.fail("started anew"))
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "SEMORE_"))]:
        monkeypatch.delenv(name)
    assert reason in allocator.reexec_with_tuned_allocator([])


def test_versions_are_found_without_importing_anything():
    code = "import sys; from semore_fast import system; system.versions(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_system_is_described_in_json():
    found = json.loads(json.dumps(system.describe_system()))
    import numpy as np
    import torch

    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["memory_bytes"] > 1 << 28
    assert 1 <= found["cores_usable"] <= found["cores"]
    assert found["cpu"]
    assert len(found["gpus"]) == torch.cuda.device_count()


def test_a_package_that_is_missing_is_none(monkeypatch):
    monkeypatch.setattr(system, "PACKAGES", ("no-such-package-here",))
    assert system.versions()["no-such-package-here"] is None


def test_commit_of_a_checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    tracked = tmp_path / "system.py"
    tracked.write_text("1")
    assert system.commit(tmp_path) == "unknown"
    git("add", "system.py")
    git("commit", "-q", "-m", "one")
    revision = git("rev-parse", "HEAD")
    assert system.commit(tmp_path) == revision
    (tmp_path / "runs").write_text("not tracked")
    assert system.commit(tmp_path) == revision
    tracked.write_text("2")
    assert system.commit(tmp_path) == f"{revision}-dirty"


def test_commit_is_unknown_without_git(tmp_path, monkeypatch):
    assert system.commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system.commit(ROOT) == "unknown"


def raising(error):
    def main():
        raise error

    return main


def test_run_cli_reports_a_user_error_in_one_line(capsys):
    assert run_cli(raising(UserError("--out x is not a directory; give another"))) == 2
    output = capsys.readouterr()
    assert output.err == "error: --out x is not a directory; give another\n"
    assert output.out == ""


def test_run_cli_passes_statuses_interrupts_and_faults(capsys):
    assert run_cli(lambda: None) == 0
    assert run_cli(lambda: 3) == 3
    assert run_cli(raising(KeyboardInterrupt())) == 130
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        run_cli(raising(ZeroDivisionError()))
