"""How near a trunk's convolutions come to what the processor does in matrix products: forward and backward, by layer.

    python bench/convs.py OUT.json

One thread, bfloat16 and float32, the semantic trunks of `laptop` (batch 64) and `paper` (batch 32). Backward is what
training needs: gradients of weights and bias, and of the input in all layers but the first. Shares are of a product of
two 1024² matrices, timed in turns with them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from interleave import alternate
from torch import Tensor

from semore.networks import TRUNKS
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.building import STACK
from semore_fast.presets import PRESETS
from semore_fast.system import describe_system

SIZES = {"laptop": 64, "paper": 32}
"""Preset, and its minibatch here."""
ROUNDS, SIDE = 15, 1024


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution with what goes through it."""

    x: Tensor
    weight: Tensor
    stride: int
    first: bool

    def forward(self) -> Tensor:
        bias = torch.zeros(len(self.weight), dtype=self.x.dtype)
        return F.conv2d(self.x, self.weight, bias, self.stride)

    def backward(self, gradient: Tensor) -> Any:
        wanted, stride = [not self.first, True, True], [self.stride] * 2
        return torch.ops.aten.convolution_backward(
            gradient, self.x, self.weight, [len(self.weight)], stride, [0, 0], [1, 1], False, [0, 0], 1, wanted
        )


def layers_of(preset: str, dtype: torch.dtype) -> list[Layer]:
    """The trunk's convolutions, each on an input of its own."""
    spec, channels, side = TRUNKS[PRESETS[preset].learner.trunk], 3 * STACK, PRESETS[preset].env.image_size
    made: list[Layer] = []
    for kernel, stride, out in zip(spec.kernels, spec.strides, spec.channels, strict=True):
        x, weight = torch.randn(SIZES[preset], channels, side, side), torch.randn(out, channels, kernel, kernel)
        x, weight = (part.to(dtype).to(memory_format=torch.channels_last) for part in (x, weight))
        made.append(Layer(x, weight, stride, not made))
        channels, side = out, (side - kernel) // stride + 1
    return made


def measure(preset: str, dtype: torch.dtype) -> dict[str, Any]:
    """Milliseconds and share of the peak for each layer's passes, and for all of them together."""
    square = torch.randn(SIDE, SIDE).to(dtype)
    calls: dict[str, Callable[[], object]] = {"peak": lambda: square @ square}
    flop = {"peak": 2.0 * SIDE**3}
    for number, layer in enumerate(layers_of(preset, dtype), 1):
        out = layer.forward()
        once = 2.0 * out.numel() * layer.weight[0].numel()
        calls |= {
            f"{number} forward": layer.forward,
            f"{number} backward": partial(layer.backward, torch.randn_like(out)),
        }
        flop |= {f"{number} forward": once, f"{number} backward": once * (1 if layer.first else 2)}
    spent = {name: median(seconds) for name, seconds in alternate(calls, ROUNDS).items()}
    peak = flop["peak"] / spent["peak"]

    def row(names: list[str]) -> dict[str, float]:
        seconds = sum(spent[name] for name in names)
        return {"ms": round(1e3 * seconds, 3), "of_peak": round(sum(flop[name] for name in names) / seconds / peak, 3)}

    passes = [name for name in calls if name != "peak"]
    rows = {name: row([name]) for name in passes}
    rows |= {f"all {kind}": row([name for name in passes if kind in name]) for kind in ("forward", "backward")}
    return {"peak_gflop_per_s": round(peak / 1e9, 1), **rows, "all": row(passes)}


def main(target: Path) -> None:
    torch.set_num_threads(1)
    found = {
        f"{preset} {str(dtype).removeprefix('torch.')}": measure(preset, dtype)
        for preset in SIZES
        for dtype in (torch.bfloat16, torch.float32)
    }
    print(json.dumps(found, indent=1))
    result = {"system": describe_system(), "command": " ".join(sys.argv), "batch": SIZES, "layers": found}
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(Path(sys.argv[1]))
