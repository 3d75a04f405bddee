"""Compiles every kernel configuration that is shipped, for GPUs that are not here, and reads what they need.

A kernel module says what it ships:

    SHIPPED: Iterable[tuple[str, Callable[[], Iterable[Launch]]]]

a name for each configuration, such as "forward bfloat16 N=196 D=32", and a function that builds its launches. A launch
is what the module itself hands to Triton, with tensors on the device "meta" where no memory is wanted:

    kernel: triton.JITFunction        grid: tuple[int, ...]
    arguments: dict[str, object]      of the kernel, by name, constexprs too
    options: dict[str, int]           num_warps, num_stages

so that Triton specialises on the same strides and alignments as in use. Any object with these four attributes will do.

    python tests/compile_ahead.py --arch 90 --name 'forward bfloat16' interaction frames

prints one line of JSON per compiled kernel, the fields of `Compiled`. It needs a process without TRITON_INTERPRET;
`compile_ahead` starts one.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHARED_LIMIT_BYTES = {80: 163 * 1024, 90: 227 * 1024}
"""Shared memory that one block may have, by architecture (CUDA C++ Programming Guide, table of technical limits)."""
REGISTERS_PER_SM = 65536


@dataclass(frozen=True)
class Compiled:
    """What one kernel of one configuration became."""

    module: str
    name: str
    kernel: str
    arch: int
    registers: int
    """A thread."""
    spill_bytes: int
    """Stored and loaded."""
    shared_bytes: int
    num_warps: int
    dots: int
    """Matrix products in Triton's intermediate code."""
    mma: int
    """Tensor-core instructions in the PTX."""
    exps: int
    """Exponentials in the PTX."""

    @property
    def blocks_per_sm(self) -> int:
        """How many blocks are resident, by registers and shared memory."""
        threads = 32 * self.num_warps
        by_registers = REGISTERS_PER_SM // (-(-self.registers // 8) * 8 * threads)
        by_shared = (SHARED_LIMIT_BYTES[self.arch] + 1024) // (self.shared_bytes + 1024)
        return min(by_registers, by_shared, 2048 // threads, 32)


def compile_ahead(modules: Sequence[str], arch: int, name: str = "") -> list[Compiled]:
    """Compiles in a subprocess.

    Args:
        modules: names of files in kernels/, such as "interaction".
        arch: 80 or 90.
        name: only configurations whose name matches this regular expression.
    """
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, __file__, "--arch", str(arch), "--name", name, *modules]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [Compiled(**json.loads(line)) for line in done.stdout.splitlines()]


def _pretend_gpu(arch: int) -> None:
    """Gives Triton a driver that knows its target and nothing else."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    class Driver:
        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", arch, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int | None = None) -> int:
            return 0

        def get_active_torch_device(self) -> torch.device:
            return torch.device("cpu")

    driver.set_active(Driver())


def _compiled(launch: Any, module: str, name: str, arch: int) -> Compiled:
    kernel = launch.kernel.warmup(grid=launch.grid, **launch.arguments, **launch.options)
    kernel = kernel.result() if hasattr(kernel, "result") else kernel
    ptx = kernel.asm["ptx"]
    registers, spills = _assembled(ptx, arch)
    return Compiled(
        module=module,
        name=name,
        kernel=launch.kernel.__name__,
        arch=arch,
        registers=registers,
        spill_bytes=spills,
        shared_bytes=kernel.metadata.shared,
        num_warps=kernel.metadata.num_warps,
        dots=len(re.findall(r"\btt\.dot\b", kernel.asm["ttir"])),
        mma=len(re.findall(r"\b(?:wgmma\.mma_async|mma\.sync)", ptx)),
        exps=len(re.findall(r"\bex2\.", ptx)),
    )


def _assembled(ptx: str, arch: int) -> tuple[int, int]:
    """Registers a thread and spilled bytes, as the assembler that Triton brings reports them."""
    import triton

    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    gpu = f"sm_{arch}a" if arch >= 90 else f"sm_{arch}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [assembler, "-v", f"--gpu-name={gpu}", file.name, "-o", os.devnull]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    used = re.search(r"Used (\d+) registers", report)
    assert used, report
    return int(used[1]), sum(int(n) for n in re.findall(r"(\d+) bytes spill", report))


def _all(modules: Iterable[str], arch: int, name: str) -> Iterator[Compiled]:
    _pretend_gpu(arch)
    sys.path.insert(0, str(ROOT))
    for module in modules:
        for configuration, launches in importlib.import_module(f"semore_fast.kernels.{module}").SHIPPED:
            if re.search(name, configuration):
                for launch in launches():
                    yield _compiled(launch, module, configuration, arch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--arch", type=int, choices=sorted(SHARED_LIMIT_BYTES), default=90)
    parser.add_argument("--name", default="")
    options = parser.parse_args()
    for compiled in _all(options.modules, options.arch, options.name):
        print(json.dumps(dataclasses.asdict(compiled)), flush=True)


if __name__ == "__main__":
    main()
