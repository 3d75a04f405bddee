"""What messages, help and docstrings promise exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROGRAMS = (
    *("train", "evaluate", "sweep", "report", "info", "guidance.annotate", "guidance.convert_cris"),
    *("carla_server", "carla_server.record"),
)
PYTHON = (sys.executable, "-m")
ROOT = Path(__file__).parents[1]
OF_OTHERS = {"--error-unmatch", "--head", "--porcelain", "--untracked-files", "--revision"}  # git's, Hugging Face's


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]", text))


def test_flags_that_messages_name_exist() -> None:
    helps = [subprocess.run([*PYTHON, f"semore_fast.{name}", "--help"], capture_output=True) for name in PROGRAMS]
    known = set().union(*(flags_in(done.stdout.decode()) for done in helps))
    sources = (path for folder in ("semore", "semore_fast") for path in (ROOT / folder).rglob("*.py"))
    named = set().union(*(flags_in(path.read_text()) for path in sources))
    unknown = {flag for flag in named - OF_OTHERS if not any(one.startswith(flag) for one in known)}
    assert not unknown
