"""The replay buffer's C++ twin under the definition's signature, and the choice between the two."""

from __future__ import annotations

from pathlib import Path

import psutil

from semore.replay import Batch, Replay, ReplayBuffer, ReplaySpec, Windows
from semore.replay_checks import check_state
from semore.replay_types import F32, I64, U8, Bool, StateArrays
from semore_fast.system import usable_cores

KINDS = ("auto", "reference", "cpp")
_MOST_THREADS = 4  # past this the copy waits for memory, not for cores
_CGROUP = Path("/sys/fs/cgroup")


class CppReplayBuffer:
    """`semore.replay.ReplayBuffer` in C++: same calls, same bytes, same errors; see there for every argument.

    `gather` runs on `threads` threads. It and the storing calls release the GIL and take turns, so a guidance
    thread may call `set_masks` while the learner gathers. Whoever reads `frames` and `masks` in place takes no turn.
    """

    def __init__(self, spec: ReplaySpec, threads: int = 1) -> None:
        # Late, so that `semore_fast --help` and the reference twin work where the extension is not built.
        from semore_fast import _C

        self.spec = spec
        self._buffer = _C.ReplayBuffer(
            capacity=spec.capacity,
            num_envs=spec.num_envs,
            frame_shape=spec.frame_shape,
            action_dim=spec.action_dim,
            stack=spec.stack,
            n_step=spec.n_step,
            discount=spec.discount,
            masks=spec.masks,
            threads=threads,
        )

    def __len__(self) -> int:
        """Transitions that can be sampled now."""
        return len(self._buffer)

    @property
    def frames(self) -> U8:
        """The ring itself, read-only; the view keeps it alive."""
        return self._buffer.frames

    @property
    def masks(self) -> U8:
        """The masks beside `frames`, read-only; the view keeps them alive."""
        return self._buffer.masks

    def begin(self, env_ids: I64, frames: U8) -> I64:
        """Start an episode in each environment; the ids of its frames."""
        return self._buffer.begin(env_ids, frames)

    def add(
        self,
        env_ids: I64,
        actions: F32,
        rewards: F32,
        terminated: Bool,
        truncated: Bool,
        next_frames: U8,
        admit: Bool,
    ) -> I64:
        """Store one transition in each environment; the ids of `next_frames`."""
        return self._buffer.add(env_ids, actions, rewards, terminated, truncated, next_frames, admit)

    def set_masks(self, frame_ids: I64, masks: U8) -> int:
        """Store the mask of each frame that is still held; how many were."""
        return self._buffer.set_masks(frame_ids, masks)

    def withdraw(self, frame_ids: I64) -> int:
        """Stop sampling the transitions that leave these frames; how many were withdrawn."""
        return self._buffer.withdraw(frame_ids)

    def gather(self, indices: I64, out: Batch) -> None:
        """Fill `out` with the transitions at `indices`."""
        self._buffer.gather(
            indices,
            out.frames,
            out.masks,
            out.has_mask,
            out.action,
            out.reward,
            out.nstep_return,
            out.bootstrap_discount,
        )

    def locate(self, indices: I64, out: Windows) -> None:
        """Fill `out` with where the transitions at `indices` are."""
        self._buffer.locate(
            indices,
            out.slots,
            out.has_mask,
            out.action,
            out.reward,
            out.nstep_return,
            out.bootstrap_discount,
        )

    def stats(self) -> dict[str, int]:
        """Frames held, transitions admitted and dropped, masks stored and too late."""
        return self._buffer.stats()

    def state_arrays(self) -> StateArrays:
        """Everything that `load_state_arrays` of either twin needs."""
        return self._buffer.state_arrays()

    def load_state_arrays(self, arrays: StateArrays) -> None:
        """Become the buffer, of either twin, that saved `arrays`."""
        check_state(arrays, self.spec)
        self._buffer.load_state_arrays(arrays)


def make_replay(kind: str, spec: ReplaySpec, *, threads: int | None = None) -> tuple[Replay, str]:
    """The buffer that `--replay kind` names, and why it is that one.

    Args:
        kind: "reference" (numpy), "cpp", or "auto": cpp where the extension is built, else reference.
        spec: sizes; `spec.bytes_needed` is what the buffer will hold when full.
        threads: of the C++ gather; by default one per usable core, at most 4.

    Raises:
        ValueError: unknown kind.
        MemoryError: the full buffer would not fit, from `check_memory`.
        RuntimeError: "cpp" by name without the extension.
    """
    if kind not in KINDS:
        raise ValueError(f"--replay must be one of {', '.join(KINDS)}, got {kind!r}")
    check_memory(spec)
    if kind == "reference":
        return ReplayBuffer(spec), "reference: asked for by name"
    chosen = "asked for by name" if kind == "cpp" else "auto, the extension is built"
    if threads is None:
        threads = min(_MOST_THREADS, usable_cores())
    try:
        return CppReplayBuffer(spec, threads), f"cpp with {threads} threads: {chosen}"
    except ImportError as error:
        if kind == "cpp":
            raise RuntimeError(
                f"--replay cpp: semore_fast._C cannot be loaded ({error}); build it with "
                "`pip install -e .` (needs a C++17 compiler), or pass --replay reference"
            ) from error
        return ReplayBuffer(spec), f"reference: auto, semore_fast._C cannot be loaded ({error})"


def check_memory(spec: ReplaySpec) -> None:
    """Refuse a buffer that would not fit once full.

    Pages are only taken as they are first written, so without this a run would die hours later.

    Raises:
        MemoryError: `spec.bytes_needed` exceeds what is available, with both numbers and the remedy.
    """
    available_bytes = memory_available_bytes()
    if spec.bytes_needed > available_bytes:
        per_frame_bytes = spec.bytes_needed / spec.capacity
        raise MemoryError(
            f"--sampling.capacity {spec.capacity} needs {spec.bytes_needed / 2**30:.2f} GiB, "
            f"{available_bytes / 2**30:.2f} GiB are available: "
            f"pass --sampling.capacity {int(available_bytes / per_frame_bytes)} or less"
        )


def memory_available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory this process may still take: the machine's, or its container's (cgroup v2) where that is less."""
    available = int(psutil.virtual_memory().available)
    limit_file = cgroup / "memory.max"
    if not limit_file.is_file():
        return available
    limit = limit_file.read_text().strip()
    if limit == "max":
        return available
    used = int((cgroup / "memory.current").read_text())
    # The file cache counts as used but is given back on demand.
    fields = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    return min(available, max(0, int(limit) - used + int(fields.get("inactive_file", 0))))
