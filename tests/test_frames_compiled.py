"""What the interpreter cannot show of the frames kernel: how it rounds, reads and writes, and what debugging adds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROGRAM = """
import json
from compile_ahead import _pretend_gpu
from semore_fast.kernels.frames import SHIPPED

_pretend_gpu(90)
(launch,) = dict(SHIPPED)["K=3 bfloat16"]()
for options in (launch.options, launch.options | {"debug": True}):
    print(json.dumps(launch.kernel.warmup(grid=launch.grid, **launch.arguments, **options).asm["ptx"]))
"""

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (Linux only)")


@cache
def code() -> tuple[str, str]:
    """PTX of the learner's launch: as shipped, and in Triton's debug mode."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join((str(TESTS), str(TESTS.parent)))
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shipped, debug = map(json.loads, done.stdout.splitlines())
    return shipped, debug


def test_nothing_is_fused_that_the_definition_rounds_twice() -> None:
    shipped, _ = code()
    assert "fma." not in shipped
    # The assembler too would fuse what is not marked as rounded.
    assert not re.search(r"(mul|add|sub)\.f32", shipped)


def test_every_byte_is_read_once_and_writes_are_wide() -> None:
    shipped, _ = code()
    frames, masks = 4 * 9, 4
    assert len(re.findall(r"ld\.global\.b8", shipped)) == frames + masks
    stores = re.findall(r"st\.global\.(\S+)", shipped)
    assert stores
    assert set(stores) <= {"v2.b32", "v4.b32"}, "fewer than 8 bytes a thread"


def test_slots_are_checked_in_debug_mode_alone() -> None:
    shipped, debug = code()
    assert "__assertfail" not in shipped
    assert "__assertfail" in debug
