"""Launches every shipped kernel at small shapes: `compute-sanitizer python bench/each_kernel.py`.

Says which kernels ran, and fails if one of those that are shipped did not. What they compute is checked elsewhere.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # cpu: with TRITON_INTERPRET=1

launched: set[str] = set()


def random(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape).to(DEVICE, dtype).requires_grad_()


def interaction(dtype: torch.dtype) -> None:
    """In one tile, in several, and split between programs whose results are then merged; odd sizes, masks."""
    from semore_fast.kernels.interaction import interaction

    for n, m, d, masked in ((36, 36, 32, False), (70, 150, 24, True), (13, 515, 32, True)):
        inputs = [random(1, 2, count, d, dtype=dtype) for count in (n, m, m, n)]
        masks = ((torch.arange(count) % 5 > 0)[None].to(DEVICE) if masked else None for count in (n, m))
        results = interaction(*inputs, **dict(zip(("n_mask", "m_mask"), masks, strict=True)))
        torch.autograd.backward(results, [torch.ones_like(x) for x in results])


def frames(dtype: torch.dtype) -> None:
    """Stack, residual and masked stack of odd-sized frames, shifted past their border."""
    from semore_fast.kernels.frames import encoder_inputs

    stored = torch.randint(0, 256, (5, 3, 21, 19), dtype=torch.uint8).to(DEVICE)
    slots, shift = torch.tensor([[0, 1, 2], [2, 3, 4]]).to(DEVICE), torch.tensor([[-4, 4], [25, -3]]).to(DEVICE)
    wish = {"offset": 0.5, "residual": "signed", "masked": True, "dtype": dtype}
    encoder_inputs(stored, stored[:, 0].contiguous(), slots, shift, **wish)


def similarity(dtype: torch.dtype) -> None:
    """With gradients for both maps."""
    from semore_fast.kernels.similarity import ssim_distance

    x, y = (random(2, 5, 11, 13, dtype=dtype) for _ in range(2))
    ssim_distance(x, y, 7).sum().backward()


def watch() -> None:
    """Notes the kernel of every launch."""
    from semore_fast.kernels.launch import Launch

    run = Launch.run

    def noted(self: Launch) -> None:
        launched.add(self.kernel.fn.__name__)
        run(self)

    Launch.run = noted


def shipped() -> set[str]:
    """Names of the kernels in every module's SHIPPED."""
    modules = [path.stem for path in (ROOT / "kernels").glob("*.py") if "\nSHIPPED" in path.read_text()]
    lists = [importlib.import_module(f"semore_fast.kernels.{module}").SHIPPED for module in modules]
    return {launch.kernel.fn.__name__ for one in lists for _, launches in one for launch in launches()}


def main() -> None:
    watch()
    for kernel in (interaction, frames, similarity):
        for dtype in (torch.float32, torch.bfloat16):
            kernel(dtype)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    missing = shipped() - launched
    print("launched:", *sorted(launched))
    if missing or not launched:
        sys.exit(f"shipped but not launched: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
