"""Replay buffers of other libraries behind one small interface, and the limit that memory sets."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
_CSRC = Path(__file__).parents[1] / "csrc"


@dataclass(frozen=True)
class Transition:
    """One step as the peers take it: whole stacks, channels first."""

    observation: U8
    next_observation: U8
    action: NDArray[np.float32]
    reward: float
    terminated: bool
    truncated: bool


class Peer(Protocol):
    def add(self, step: Transition) -> None: ...
    def at(self, indices: NDArray[np.int64]) -> tuple[U8, U8]: ...
    def sample(self) -> object: ...


class NumpyPeer:
    """Observation and next observation in two arrays, gathered by fancy indexing: the usual published buffer."""

    def __init__(self, capacity: int, stack_shape: tuple[int, ...], batch_size: int) -> None:
        self._observation = np.zeros((capacity, *stack_shape), np.uint8)
        self._next = np.zeros((capacity, *stack_shape), np.uint8)
        self._action = np.zeros((capacity, 2), np.float32)
        self._reward = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, np.float32)
        self._added, self._batch_size, self._rng = 0, batch_size, np.random.default_rng(0)

    def add(self, step: Transition) -> None:
        slot = self._added % len(self._reward)
        self._observation[slot], self._next[slot] = step.observation, step.next_observation
        self._action[slot], self._reward[slot] = step.action, step.reward
        self._terminated[slot] = step.terminated
        self._added += 1

    def at(self, indices: NDArray[np.int64]) -> tuple[U8, U8]:
        return self._observation[indices], self._next[indices]

    def sample(self) -> object:
        rows = self._rng.integers(min(self._added, len(self._reward)), size=self._batch_size)
        return (*self.at(rows), self._action[rows], self._reward[rows], self._terminated[rows])


class CpprbPeer:
    """cpprb, next observations shared with the following row (`next_of`), its fastest setting for pixels."""

    def __init__(self, capacity: int, stack_shape: tuple[int, ...], batch_size: int) -> None:
        import cpprb

        fields = {"obs": {"shape": stack_shape, "dtype": np.uint8}, "act": {"shape": 2}, "rew": {}, "done": {}}
        self._buffer: Any = cpprb.ReplayBuffer(capacity, fields, next_of="obs")
        self._batch_size = batch_size

    def add(self, step: Transition) -> None:
        self._buffer.add(
            obs=step.observation,
            act=step.action,
            rew=step.reward,
            next_obs=step.next_observation,
            done=float(step.terminated),
        )
        if step.terminated or step.truncated:
            self._buffer.on_episode_end()

    def at(self, indices: NDArray[np.int64]) -> tuple[U8, U8]:
        sample = self._buffer._encode_sample(indices)
        return sample["obs"], sample["next_obs"]

    def sample(self) -> object:
        return self._buffer.sample(self._batch_size)


class TorchrlPeer:
    """torchrl's TensorDictReplayBuffer over LazyTensorStorage, uniform sampling."""

    def __init__(self, capacity: int, stack_shape: tuple[int, ...], batch_size: int) -> None:
        import torch
        from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

        self._torch = torch
        self._buffer: Any = TensorDictReplayBuffer(storage=LazyTensorStorage(capacity), batch_size=batch_size)

    def add(self, step: Transition) -> None:
        from tensordict import TensorDict

        tensor = self._torch.as_tensor
        following = {"obs": tensor(step.next_observation), "reward": tensor([step.reward])}
        fields = {"obs": tensor(step.observation), "action": tensor(step.action)}
        self._buffer.add(
            TensorDict({**fields, "next": {**following, "terminated": tensor([step.terminated])}}, batch_size=[])
        )

    def at(self, indices: NDArray[np.int64]) -> tuple[U8, U8]:
        rows = self._buffer[self._torch.from_numpy(indices)]
        return rows["obs"].numpy(), rows["next", "obs"].numpy()

    def sample(self) -> object:
        return self._buffer.sample()


class StreamLimit:
    """What memory allows in sequence, compiled from bench/stream_limit.cpp; a context manager."""

    def __init__(self, directory: Path, threads: int) -> None:
        library = directory / "stream_limit.so"
        source = Path(__file__).with_name("stream_limit.cpp")
        flags = ["-std=c++17", "-O3", "-shared", "-fPIC", "-pthread", f"-I{_CSRC}"]
        subprocess.run(["c++", *flags, str(source), "-o", str(library)], check=True)
        self._library = ctypes.CDLL(str(library))
        self._library.make_pool.restype = ctypes.c_void_p
        self._library.read_words.restype = ctypes.c_uint64
        self._pool = ctypes.c_void_p(self._library.make_pool(threads))

    def __enter__(self) -> StreamLimit:
        return self

    def __exit__(self, *error: object) -> None:
        self._library.free_pool(self._pool)

    def copy(self, to: U8, source: U8) -> None:
        """Copy rows of the first dimension; both C-contiguous and of one size."""
        pointers = (ctypes.c_void_p(to.ctypes.data), ctypes.c_void_p(source.ctypes.data))
        rows = len(to)
        self._library.copy_rows(self._pool, *pointers, ctypes.c_int64(rows), ctypes.c_int64(to.nbytes // rows))

    def write(self, address: int, size_bytes: int) -> None:
        """Fill memory past the cache."""
        self._library.write_bytes(self._pool, ctypes.c_void_p(address), ctypes.c_int64(size_bytes))

    def read(self, source: U8) -> int:
        """Add up the 8-byte words of a C-contiguous array."""
        address = ctypes.c_void_p(source.ctypes.data)
        return int(self._library.read_words(self._pool, address, ctypes.c_int64(source.nbytes // 8)))
