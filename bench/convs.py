"""How near a trunk's convolutions come to what the processor does in matrix products: forward and backward, by layer.

    python bench/convs.py OUT.json

One thread, float32 and, where the processor computes it, bfloat16; the semantic trunks of `laptop` (batch 64) and
`paper` (batch 32). Backward is what training needs: gradients of weights and bias, and of the input in all layers but
the first. Shares are of a product of two 1024² matrices, timed in turns with them. *whole* is the operation `trunk`
with its biases and ReLUs, by its definition and, in float32, by its C++ twin on one thread and on all cores; forward,
and forward and backward.
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
from semore.ops import REFERENCE
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.arithmetic import computes_bfloat16
from semore_fast.backend import choose_ops
from semore_fast.building import STACK
from semore_fast.presets import PRESETS
from semore_fast.system import describe_system, usable_cores

SIZES = {"laptop": 64, "paper": 32}
"""Preset, and its minibatch here."""
ROUNDS, SIDE = 15, 1024
CPU = torch.device("cpu")


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


def wholes(layers: list[Layer]) -> dict[str, Callable[[], object]]:
    """The trunk as one operation, by each that has it; equal first."""
    dtype = layers[0].x.dtype
    weights = [layer.weight.clone().requires_grad_() for layer in layers]
    biases = [torch.zeros(len(weight), dtype=dtype, requires_grad=True) for weight in weights]
    made: dict[str, Callable[..., Tensor]] = {"definition": REFERENCE.trunk}
    if dtype == torch.float32:
        for name, threads in (("C++", 1), ("C++ all cores", usable_cores())):
            made[name] = choose_ops("cpp", CPU, dtype, threads)[0].trunk

    def forward(op: Callable[..., Tensor]) -> Tensor:
        return op(layers[0].x, weights, biases, [layer.stride for layer in layers])

    @torch.no_grad()
    def alone(op: Callable[..., Tensor]) -> Tensor:
        return forward(op)

    def both(op: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        out = forward(op)
        return torch.autograd.grad(out, [*weights, *biases], torch.ones_like(out))

    wanted = both(REFERENCE.trunk)
    for op in made.values():
        for got, right in zip(both(op), wanted, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-3, atol=1e-4 * float(right.abs().max()))
    calls = {f"whole forward, {name}": partial(alone, op) for name, op in made.items()}
    return calls | {f"whole both, {name}": partial(both, op) for name, op in made.items()}


def measure(preset: str, dtype: torch.dtype) -> dict[str, Any]:
    """Milliseconds and share of the peak for each layer's passes, for all of them together, and for whole trunks."""
    square = torch.randn(SIDE, SIDE).to(dtype)
    calls: dict[str, Callable[[], object]] = {"peak": lambda: square @ square}
    flop = {"peak": 2.0 * SIDE**3}
    layers = layers_of(preset, dtype)
    for number, layer in enumerate(layers, 1):
        out = layer.forward()
        once = 2.0 * out.numel() * layer.weight[0].numel()
        calls |= {
            f"{number} forward": layer.forward,
            f"{number} backward": partial(layer.backward, torch.randn_like(out)),
        }
        flop |= {f"{number} forward": once, f"{number} backward": once * (1 if layer.first else 2)}
    each = [name for name in calls if name != "peak"]
    for name, call in wholes(layers).items():
        calls[name] = call
        flop[name] = sum(flop[one] for one in each if "forward" in one or "both" in name)
    spent = {name: median(seconds) for name, seconds in alternate(calls, ROUNDS).items()}
    peak = flop["peak"] / spent["peak"]

    def row(names: list[str]) -> dict[str, float]:
        seconds = sum(spent[name] for name in names)
        return {"ms": round(1e3 * seconds, 3), "of_peak": round(sum(flop[name] for name in names) / seconds / peak, 3)}

    rows = {name: row([name]) for name in calls if name != "peak"}
    rows |= {f"all {kind}": row([name for name in each if kind in name]) for kind in ("forward", "backward")}
    return {"peak_gflop_per_s": round(peak / 1e9, 1), **rows, "all": row(each)}


def main(target: Path) -> None:
    torch.set_num_threads(1)
    found = {
        f"{preset} {str(dtype).removeprefix('torch.')}": measure(preset, dtype)
        for preset in SIZES
        for dtype in (*([torch.bfloat16] if computes_bfloat16(CPU) else []), torch.float32)
    }
    print(json.dumps(found, indent=1))
    result = {"system": describe_system(), "command": " ".join(sys.argv), "batch": SIZES, "layers": found}
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(Path(sys.argv[1]))
