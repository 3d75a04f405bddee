"""`python -m semore_fast.guidance.convert_cris CHECKPOINT.pth OUT.safetensors`: a pickled checkpoint made safe.

Public CRIS checkpoints are pickles, which can run code when opened. So one is opened once, by a child process that
lets torch read plain tensors only, and everything else reads the safetensors file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from semore_fast import disk
from semore_fast.errors import run_cli
from semore_fast.guidance.cris_weights import WeightsError, file_sha256, read_safetensors

CHILD = Path(__file__).with_name("unpickle_cris.py")
# Our constant: a checkpoint of 2 GB takes well under a minute.
TIMEOUT_S = 600
# What a child needs to find its libraries; nothing else of the parent's environment is passed on.
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT")


def convert(checkpoint: Path, out: Path) -> str:
    """Write the checkpoint's `state_dict`, names unchanged, to the safetensors file `out`; return its SHA-256 in hex.

    `out` appears complete or not at all.

    Raises:
        WeightsError: if the checkpoint is missing, holds anything but plain data or has no `state_dict`, if `out`
            exists, or if the child takes longer than `TIMEOUT_S`.
    """
    if not checkpoint.is_file():
        raise WeightsError(f"no checkpoint at {checkpoint}; give the path of the downloaded .pth file")
    if out.exists():
        raise WeightsError(f"{out} exists; remove it or choose another name")
    if not out.parent.is_dir():
        raise WeightsError(f"no directory {out.parent}; make it first")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        staged = Path(folder).resolve() / "weights.safetensors"
        _unpickle(checkpoint, staged)
        read_safetensors(staged)
        digest = file_sha256(staged)
        disk.rename(staged, out)
    disk.fsync_directory(out.parent)
    return digest


def main(arguments: list[str] | None = None) -> None:
    """Convert, and print the SHA-256 of the result. Raises as `convert`."""
    parser = argparse.ArgumentParser(prog="python -m semore_fast.guidance.convert_cris", description=__doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT.pth", help="public checkpoint, a pickle")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="file to write; must not exist")
    given = parser.parse_args(arguments)
    print(f"{convert(given.checkpoint, given.out)}  {given.out}")


def _unpickle(checkpoint: Path, staged: Path) -> None:
    command = [sys.executable, "-I", str(CHILD), str(checkpoint.resolve()), str(staged)]
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    try:
        child = subprocess.run(
            command, cwd=staged.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"{checkpoint} took longer than {TIMEOUT_S} s to read; fetch it again") from None
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        raise WeightsError(f"{checkpoint} refused: {lines[-1]}; give a CRIS checkpoint from a source you trust")


if __name__ == "__main__":
    sys.exit(run_cli(main))
