"""What every replay buffer shares: spec, caller-owned batch, protocol and argument checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
StateArrays = dict[str, npt.NDArray[Any]]

# terminated, admitted, has_mask: 1 byte each; reward, offset, position, start: 4 bytes each.
_FIXED_BYTES_PER_FRAME = 3 * 1 + 4 * 4
_BYTES_PER_ENV = 8 + 1  # next sequence number, open flag
_MAX_FRAMES = 2**31 - 1  # slots are int32


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """Sizes and return rule of a replay buffer.

    Args:
        capacity: frames kept over all environments; rounded up to a multiple of `num_envs`.
        num_envs: environments that write; each owns `capacity / num_envs` consecutive frames.
        frame_shape: one frame, (channels, height, width), uint8.
        action_dim: length of an action, float32.
        stack: frames per observation.
        n_step: transitions summed into `nstep_return`.
        discount: of one step, in [0, 1].
        masks: keep one uint8 [height, width] mask beside each frame.

    Raises:
        ValueError: a size is out of range, or an environment's share is shorter than one window.
    """

    capacity: int
    num_envs: int
    frame_shape: tuple[int, int, int]
    action_dim: int
    stack: int = 3
    n_step: int = 1
    discount: float = 0.99
    masks: bool = True

    def __post_init__(self) -> None:
        for name in ("capacity", "num_envs", "action_dim", "stack", "n_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if len(self.frame_shape) != 3 or min(self.frame_shape) < 1:
            raise ValueError(f"frame_shape must be (channels, height, width), each >= 1, got {self.frame_shape}")
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"discount must be in [0, 1], got {self.discount}")
        least = self.num_envs * self.window
        if not least <= self.capacity <= _MAX_FRAMES - self.num_envs:
            raise ValueError(
                f"capacity must be at least num_envs * (stack + n_step) = {least} frames "
                f"and below 2**31, got {self.capacity}"
            )
        object.__setattr__(self, "capacity", -(-self.capacity // self.num_envs) * self.num_envs)

    @property
    def window(self) -> int:
        """Frames in one sample: the observation's stack and the `n_step` frames after it."""
        return self.stack + self.n_step

    @property
    def frames_per_env(self) -> int:
        """Length of one environment's ring, in frames."""
        return self.capacity // self.num_envs

    def slots_of(self, frame_ids: I64) -> I64:
        """Where frames lie in the ring, int64 [M], by the ids that `begin` and `add` gave them.

        A frame overwritten since shares its slot with the one that is there now.
        """
        sequence, env = np.divmod(frame_ids, self.num_envs)
        slots: I64 = env * self.frames_per_env + sequence % self.frames_per_env
        return slots

    @property
    def masks_per_sample(self) -> int:
        """`n_step + 1`, or 0 where the buffer keeps no masks."""
        return self.n_step + 1 if self.masks else 0

    @property
    def bytes_needed(self) -> int:
        """Memory of a full buffer, in bytes; the frames and masks are all but about 30 bytes a frame."""
        channels, height, width = self.frame_shape
        pixels = height * width * (channels + int(self.masks))
        return self.capacity * (pixels + 4 * self.action_dim + _FIXED_BYTES_PER_FRAME) + _BYTES_PER_ENV * self.num_envs

    def discount_powers(self) -> list[float]:
        """discount**i for i = 0..n_step, each rounded to float32.

        Rounded so that its product with a float32 reward is exact in float64: the sum is then the same on
        machines that fuse multiply and add and on those that do not.
        """
        powers, power = [], 1.0
        for _ in range(self.n_step + 1):
            powers.append(float(np.float32(power)))
            power *= self.discount
        return powers


@dataclass(slots=True)
class Batch:
    """Caller-owned arrays that `gather` fills; C-contiguous, for instance views of pinned tensors.

    With k = stack, n = n_step and frames of shape (C, H, W):

    * frames: uint8 [B, k+n, C, H, W], oldest first: observation `[:, :k]`, next observation `[:, 1:k+1]`,
      bootstrap observation `[:, n:n+k]`.
    * masks: uint8 [B, n+1, H, W], of the observation's newest frame and of each frame after it; zeros where
      absent. [B, 0, H, W] if the buffer keeps none.
    * has_mask: bool [B, n+1] (or [B, 0]).
    * action: float32 [B, A]; reward: float32 [B], of this one step.
    * nstep_return: float32 [B], sum of discount**i * reward_i up to n steps or the terminal.
    * bootstrap_discount: float32 [B], discount**n, or 0 where a terminal lies inside the n steps.
    """

    frames: U8
    masks: U8
    has_mask: Bool
    action: F32
    reward: F32
    nstep_return: F32
    bootstrap_discount: F32

    @classmethod
    def empty(cls, spec: ReplaySpec, batch_size: int) -> Batch:
        """Uninitialised arrays of the right shapes for `batch_size` samples of `spec`."""
        arrays: StateArrays = {n: np.empty(shape, dtype) for n, dtype, shape in batch_layout(spec, batch_size)}
        return cls(**arrays)


@dataclass(slots=True)
class Windows:
    """Caller-owned arrays that `locate` fills: where the frames of each sample are, and the rest of its `Batch`.

    * slots: int64 [B, k+n], into `frames` and `masks` of the buffer, in the order of `Batch.frames`.
    * has_mask, action, reward, nstep_return, bootstrap_discount: as in `Batch`.
    """

    slots: I64
    has_mask: Bool
    action: F32
    reward: F32
    nstep_return: F32
    bootstrap_discount: F32

    @classmethod
    def empty(cls, spec: ReplaySpec, batch_size: int) -> Windows:
        """Uninitialised arrays of the right shapes for `batch_size` samples of `spec`."""
        arrays: StateArrays = {n: np.empty(shape, dtype) for n, dtype, shape in windows_layout(spec, batch_size)}
        return cls(**arrays)


class Replay(Protocol):
    """The interface both twins have; documented at `semore.replay.ReplayBuffer`."""

    spec: ReplaySpec

    @property
    def frames(self) -> U8: ...  # noqa: D102

    @property
    def masks(self) -> U8: ...  # noqa: D102

    def begin(self, env_ids: I64, frames: U8) -> I64: ...  # noqa: D102

    def add(  # noqa: D102
        self,
        env_ids: I64,
        actions: F32,
        rewards: F32,
        terminated: Bool,
        truncated: Bool,
        next_frames: U8,
        admit: Bool,
    ) -> I64: ...

    def set_masks(self, frame_ids: I64, masks: U8) -> int: ...  # noqa: D102

    def withdraw(self, frame_ids: I64) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...

    def gather(self, indices: I64, out: Batch) -> None: ...  # noqa: D102

    def locate(self, indices: I64, out: Windows) -> None: ...  # noqa: D102

    def stats(self) -> dict[str, int]: ...  # noqa: D102

    def state_arrays(self) -> StateArrays: ...  # noqa: D102

    def load_state_arrays(self, arrays: StateArrays) -> None: ...  # noqa: D102


def read_only(array: U8) -> U8:
    """A view that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


Layout = list[tuple[str, type[np.generic], tuple[int, ...]]]


def batch_layout(spec: ReplaySpec, batch_size: int) -> Layout:
    """(name, dtype, shape) of each `Batch` array, in field order."""
    masks = (batch_size, spec.masks_per_sample, *spec.frame_shape[1:])
    return [
        ("frames", np.uint8, (batch_size, spec.window, *spec.frame_shape)),
        ("masks", np.uint8, masks),
        *_rows_layout(spec, batch_size),
    ]


def windows_layout(spec: ReplaySpec, batch_size: int) -> Layout:
    """(name, dtype, shape) of each `Windows` array, in field order."""
    return [("slots", np.int64, (batch_size, spec.window)), *_rows_layout(spec, batch_size)]


def _rows_layout(spec: ReplaySpec, batch_size: int) -> Layout:
    return [
        ("has_mask", np.bool_, (batch_size, spec.masks_per_sample)),
        ("action", np.float32, (batch_size, spec.action_dim)),
        ("reward", np.float32, (batch_size,)),
        ("nstep_return", np.float32, (batch_size,)),
        ("bootstrap_discount", np.float32, (batch_size,)),
    ]


def state_layout(spec: ReplaySpec, sampleable: int) -> Layout:
    """(name, dtype, shape) of each array of a saved buffer with `sampleable` transitions."""
    frames, (_, height, width) = spec.capacity, spec.frame_shape
    return [
        ("frames", np.uint8, (frames, *spec.frame_shape)),
        ("masks", np.uint8, (frames if spec.masks else 0, height, width)),
        ("has_mask", np.bool_, (frames,)),
        ("action", np.float32, (frames, spec.action_dim)),
        ("reward", np.float32, (frames,)),
        ("terminated", np.bool_, (frames,)),
        ("admitted", np.bool_, (frames,)),
        ("offset", np.int32, (frames,)),
        ("starts", np.int32, (sampleable,)),
        ("next_sequence", np.int64, (spec.num_envs,)),
        ("open", np.bool_, (spec.num_envs,)),
        ("counters", np.int64, (4,)),
        ("window", np.int64, (2,)),
    ]
