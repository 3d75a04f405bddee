"""What both replay buffers refuse: each check names the argument, and runs before anything changes."""

from __future__ import annotations

import numpy as np

from .replay_types import I64, Batch, ReplaySpec, StateArrays, Windows, batch_layout, state_layout, windows_layout


def check_array(name: str, array: object, dtype: type[np.generic], shape: tuple[int, ...] | None) -> None:
    """Refuse anything but a C-contiguous array of this dtype and shape (None: any one-dimensional shape).

    Raises:
        TypeError: not a numpy array, or another dtype.
        ValueError: another shape, or strides that are not C-contiguous.
    """
    wanted = np.dtype(dtype)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array of {wanted}, got {type(array).__name__}")
    if array.dtype != wanted:
        raise TypeError(f"{name} must be {wanted}, got {array.dtype}")
    if shape is None and array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} must be C-contiguous; pass numpy.ascontiguousarray({name})")


def check_env_ids(env_ids: I64, num_envs: int) -> None:
    """Refuse environments outside [0, num_envs) or named twice with a ValueError."""
    seen = set()
    for env in env_ids.tolist():
        if not 0 <= env < num_envs:
            raise ValueError(f"env_ids must be in [0, {num_envs}), got {env}")
        if env in seen:
            raise ValueError(f"env_ids must be distinct, got {env} twice")
        seen.add(env)


def check_issued(frame_ids: I64, next_sequence: I64) -> None:
    """Refuse ids of frames that no environment has had yet with a ValueError. next_sequence: int64 [num_envs]."""
    sequence, env = np.divmod(frame_ids, len(next_sequence))
    unknown = (frame_ids < 0) | (sequence >= next_sequence[env])
    if unknown.any():
        raise ValueError(f"frame_ids holds {frame_ids[unknown][0]}, which was never issued")


def check_range(indices: I64, sampleable: int) -> None:
    """Refuse indices outside [0, sampleable) with a ValueError."""
    outside = (indices < 0) | (indices >= sampleable)
    if outside.any():
        raise ValueError(f"indices must be in [0, {sampleable}), got {indices[outside][0]}")


def check_out(out: Batch | Windows, spec: ReplaySpec, batch_size: int) -> None:
    """Refuse an `out` whose arrays are read-only or do not fit; raises like `check_array`."""
    layout = batch_layout if isinstance(out, Batch) else windows_layout
    for name, dtype, shape in layout(spec, batch_size):
        array = getattr(out, name)
        check_array(f"out.{name}", array, dtype, shape)
        if not array.flags.writeable:
            raise ValueError(f"out.{name} must be writeable")


def check_state(arrays: StateArrays, spec: ReplaySpec) -> None:
    """Refuse arrays that were not saved by a buffer of this spec; raises like `check_array`."""
    starts = arrays.get("starts")
    layout = state_layout(spec, len(starts) if isinstance(starts, np.ndarray) and starts.ndim == 1 else 0)
    names = {name for name, _, _ in layout}
    if set(arrays) != names:
        raise ValueError(f"arrays must hold exactly {sorted(names)}, differs in {sorted(names ^ set(arrays))}")
    for name, dtype, shape in layout:
        check_array(f"arrays[{name!r}]", arrays[name], dtype, shape)
    if arrays["window"].tolist() != [spec.stack, spec.n_step]:
        wanted, got = [spec.stack, spec.n_step], arrays["window"].tolist()
        raise ValueError(f"arrays['window'] (stack, n_step) must be {wanted}, got {got}")
    in_range = bool(np.all((arrays["starts"] >= 0) & (arrays["starts"] < spec.capacity)))
    if not in_range or len(np.unique(arrays["starts"])) != len(arrays["starts"]):
        raise ValueError(f"arrays['starts'] must be distinct slots in [0, {spec.capacity})")
    for name in ("offset", "next_sequence"):
        if np.any(arrays[name] < 0):
            raise ValueError(f"arrays[{name!r}] must not be negative")
