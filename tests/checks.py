"""What a kernel's test needs: the rule for tolerances, and memory that shows who touched it."""

from __future__ import annotations

import torch
from torch import Tensor

MARGIN_BYTES = 256
"""On both sides; a multiple of 16, so that guarded tensors are aligned as allocated ones are."""
PATTERNS = {8: b"\xab" * 8, 4: b"\xab\xab\xab\x7f", 2: b"\xab\x7f", 1: b"\xab"}
"""By element size. 0x7fabab.. is a NaN in float32, bfloat16 and float16: reading it shows in what is computed."""


def assert_as_exact(
    mine: Tensor, torch_same_dtype: Tensor, float64: Tensor, factor: float = 2.0, name: str = "result"
) -> None:
    """The largest and the root-mean-square error are at most `factor` times those of plain PyTorch in the same dtype.

    Args:
        mine: what the kernel gives.
        torch_same_dtype: what PyTorch gives for the same inputs in the same dtype.
        float64: what PyTorch gives for the same inputs in float64.
        factor: 2 for every kernel.
        name: of the tensor, for the message.
    """
    assert mine.shape == torch_same_dtype.shape == float64.shape, f"{name}: shape {list(mine.shape)}"
    assert mine.dtype == torch_same_dtype.dtype, f"{name}: {mine.dtype}"
    assert float64.dtype == torch.float64, "the yardstick must be float64"
    assert torch.equal(mine.isfinite(), float64.isfinite()), f"{name}: NaN or infinite where float64 is not"
    error, allowed = (mine.double() - float64).abs(), (torch_same_dtype.double() - float64).abs()
    for kind, measure in (("largest", _largest), ("root-mean-square", _rms)):
        got, limit = measure(error), factor * measure(allowed)
        assert got <= limit, f"{name}: {kind} error {got:.3g}, at most {limit:.3g}"


def _largest(x: Tensor) -> float:
    return x.max().item() if x.numel() else 0.0


def _rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item() if x.numel() else 0.0


class Guarded:
    """A tensor between two strips of canary bytes, itself full of the same: NaN, or 0xAB in integers."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        *,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        outline = torch.empty(shape, device="meta", memory_format=memory_format)
        margin = MARGIN_BYTES // dtype.itemsize
        pattern = torch.frombuffer(bytearray(PATTERNS[dtype.itemsize]), dtype=torch.uint8).to(device)
        self._pattern = pattern.repeat(MARGIN_BYTES // pattern.numel())
        self._bytes = pattern.repeat(outline.numel() + 2 * margin)
        flat = self._bytes.view(dtype)[margin : margin + outline.numel()]
        self.tensor = flat.as_strided(shape, outline.stride(), flat.storage_offset())

    def holding(self, values: Tensor) -> Guarded:
        """Copies `values` in."""
        self.tensor.copy_(values)
        return self

    def check(self) -> None:
        """Fails if anything was written beside the tensor."""
        for side, strip in (("before", self._bytes[:MARGIN_BYTES]), ("after", self._bytes[-MARGIN_BYTES:])):
            touched = (strip != self._pattern).nonzero()
            assert len(touched) == 0, f"{len(touched)} bytes written {side} a tensor {list(self.tensor.shape)}"


def guarded(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    device: torch.device | str = "cpu",
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Guarded:
    """A tensor that shows writes beside it by `check()`, and reads beside it or before its first write as NaN."""
    return Guarded(shape, dtype, device=device, memory_format=memory_format)


class PoisonedMemory:
    """Stands in for `torch.empty` and `torch.empty_like`; every tensor given out is guarded."""

    def __init__(self) -> None:
        self._empty = torch.empty
        self.given: list[Guarded] = []

    def empty(
        self,
        *size: object,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
        **options: object,
    ) -> Tensor:
        shape = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        if torch.device(device or "cpu").type == "meta" or any(options.values()):
            return self._empty(shape, dtype=dtype, device=device, memory_format=memory_format, **options)
        self.given.append(
            Guarded(
                tuple(shape), dtype or torch.get_default_dtype(), device=device or "cpu", memory_format=memory_format
            )
        )
        return self.given[-1].tensor

    def empty_like(
        self, like: Tensor, *, dtype: torch.dtype | None = None, device: torch.device | None = None, **options: object
    ) -> Tensor:
        outline = self._empty(like.shape, device="meta")
        if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous():
            options.setdefault("memory_format", torch.channels_last)
        return self.empty(*outline.shape, dtype=dtype or like.dtype, device=device or like.device, **options)

    def check(self) -> None:
        """Fails if anything was written beside a tensor given out so far."""
        for buffer in self.given:
            buffer.check()
