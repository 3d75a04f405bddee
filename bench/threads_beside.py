"""An update with one thread and with all, alone and beside a process of another session that keeps one core busy.

python bench/threads_beside.py OUT.json
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.presets import PRESETS
from semore_fast.sweeping.estimate import update_seconds
from semore_fast.system import describe_system

ROUNDS = 3
SPIN = "while True: pass"


def update_ms(threads: int) -> list[float]:
    """Each a median of some updates of `semore`, preset laptop."""
    config = dataclasses.replace(PRESETS["laptop"], agent="semore", device="cpu", threads=threads)
    return [round(1e3 * update_seconds(config), 1) for _ in range(ROUNDS)]


def main(out: Path) -> None:
    """Measures and writes."""
    counts = (1, os.cpu_count() or 1)
    figures = {"alone": {str(threads): update_ms(threads) for threads in counts}}
    busy = subprocess.Popen([sys.executable, "-c", SPIN], start_new_session=True)  # as from another terminal
    try:
        figures["beside a busy process"] = {str(threads): update_ms(threads) for threads in counts}
    finally:
        busy.kill()
        busy.wait()
    result = {"system": describe_system(), "update_ms_by_threads": figures}
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(Path(sys.argv[1]))
