"""N driving environments in one call: gymnasium's vector API over the C++ simulator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from semore_fast import _C
from semore_fast.envs.scenario import Scenario
from semore_fast.envs.seeding import EpisodeSeeds
from semore_fast.envs.vector_checks import check_scenario, reset_mask

__all__ = ["CLASS_IDS", "END_REASONS", "Autoreset", "DrivingVectorEnv", "Layout"]

Layout = Literal["chw", "hwc"]
Autoreset = Literal["next_step", "disabled"]
Info = dict[str, Any]

END_REASONS: tuple[str, ...] = _C.END_REASONS
"""Names of info["end_reason"]. "time_limit" truncates, the others (but "running") terminate."""
CLASS_IDS: dict[str, int] = _C.CLASS_IDS
"""Values in info["class_ids"]: CARLA's semantic tags."""

_AUTORESET = {"next_step": AutoresetMode.NEXT_STEP, "disabled": AutoresetMode.DISABLED}
_TIME_LIMIT = END_REASONS.index("time_limit")
_STATE_HEADER = b"semore driving state 1\n"
_SUMS = ("distance_m", "crash_intensity_ns", "frames", "new_hits")
_REWARD_TERMS = ("reward_progress", "reward_collision", "reward_brake", "reward_steer")
_MEANS = ("steer_abs", "brake")


def results_info(results: NDArray[np.void]) -> Info:
    """The part of `info` that a step's results [N] (`_C.RESULT_DTYPE`) hold, one row an environment."""
    info: Info = {name: results[name] for name in _SUMS + _REWARD_TERMS}
    frames = np.maximum(results["frames"], 1).astype(np.float32)
    info.update({name: results[name] / frames for name in _MEANS})
    info["end_reason"] = results["end"]
    return info


def first_row(info: Info) -> Info:
    """Row 0 of a vector info; scalars as plain Python numbers."""
    rows = {name: value[0] for name, value in info.items() if not name.startswith("_")}
    return {name: row.item() if np.ndim(row) == 0 else row for name, row in rows.items()}


def _check_choice(argument: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, choices))}, is {value!r}")


class _Arrays:
    """Everything one call writes: output arrays and the simulator's checked handle on them."""

    def __init__(
        self, simulator: _C.Simulator, num_envs: int, frame_shape: tuple[int, ...], size: int, ids: bool
    ) -> None:
        self.results = np.empty(num_envs, _C.RESULT_DTYPE)
        self.ego = np.empty((num_envs, 4), np.float32)
        self.actors = np.empty((num_envs, _C.ACTOR_ROWS, 8), np.float32)
        self.rgb = np.empty((num_envs, *frame_shape), np.uint8)
        self.class_ids = np.empty((num_envs, size, size), np.uint8) if ids else None
        self.instance_ids = np.empty((num_envs, size, size), np.uint8) if ids else None
        self.handle = simulator.outputs(
            results=self.results,
            ego=self.ego,
            actors=self.actors,
            rgb=self.rgb,
            class_ids=self.class_ids,
            instance_ids=self.instance_ids,
        )


class DrivingVectorEnv(VectorEnv[NDArray[np.uint8], ArrayLike, NDArray[Any]]):
    """N cars on N roads of one scenario.

    Observation: the newest camera frame, uint8 [N, 3, H, W] (or [N, H, W, 3] with layout="hwc").
    Action: float32 [N, 2], steering (positive right) and drive (throttle above 0, brake below), each clipped to
    [-1, 1]; held for `action_repeat` frames, whose rewards are summed. Non-finite actions raise `ValueError`.
    `info` arrays have one row an environment and cover the step's frames:

    - distance_m, crash_intensity_ns, new_hits, frames: sums. A row that was reset in this step has frames = 0.
    - steer_abs, brake: means over the frames. reward_progress, _collision, _brake, _steer: the reward's signed terms.
    - end_reason: int, index into `END_REASONS`.
    - ego: float32 [N, 4] = speed_mps, lane_offset_m, heading_error_rad, lane_width_m.
    - actors: float32 [N, 8, 8], nearest first, zero padded = class id, instance id, dx_m, dy_m, vx_mps, vy_mps,
      length_m, width_m. From physics: also filled where actors are not drawn.
    - with ids=True: class_ids and instance_ids, uint8 [N, H, W].

    Frames depend on the seed, the actions and the scenario alone, not on `threads` or `num_envs` (see `EpisodeSeeds`).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - gymnasium's contract

    def __init__(
        self,
        scenario: Scenario,
        num_envs: int = 1,
        *,
        image_size: int = 128,
        supersample: int = 1,
        action_repeat: int = 1,
        threads: int = 1,
        layout: Layout = "chw",
        ids: bool = False,
        autoreset: Autoreset = "next_step",
        reuse_buffers: bool = False,
        render_mode: Literal["rgb_array"] | None = None,
        render_size: int = 384,
    ) -> None:
        """Build the worlds; call `reset` before stepping.

        Args:
            scenario: what to drive through.
            num_envs: N.
            image_size: H = W in pixels.
            supersample: RGB is drawn this many times larger and averaged.
            action_repeat: frames an action is held.
            threads: worker threads, the caller included. They do not survive `fork()`: build the environment in the
                process that steps it, or use 1.
            layout: channels first or last.
            ids: also draw class and instance ids.
            autoreset: gymnasium's modes. "next_step": the step after an episode's end ignores the action and returns
                the next episode's first frame. "disabled": reset(options={"reset_mask": bool [N]}) does it; stepping
                an ended environment raises `_C.ResetNeededError`.
            reuse_buffers: hand out the same arrays at every call instead of new ones, for callers that copy at once.
            render_mode: "rgb_array" or None.
            render_size: pixels of `render()`'s frames.

        Raises:
            ValueError: naming the argument or scenario field that has a bad value.
        """
        super().__init__()
        _check_choice("layout", layout, ("chw", "hwc"))
        _check_choice("autoreset", autoreset, tuple(_AUTORESET))
        _check_choice("render_mode", render_mode, (None, "rgb_array"))
        if action_repeat < 1:
            raise ValueError(f"action_repeat must be at least 1, is {action_repeat}")
        self.scenario = scenario
        self.num_envs = num_envs
        self.action_repeat = action_repeat
        self.render_mode = render_mode
        self.render_size = render_size
        self.autoreset_mode = _AUTORESET[autoreset]
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": round(1 / (scenario.dt_s * action_repeat)),
            "autoreset_mode": self.autoreset_mode,
        }
        self._simulator = _C.Simulator(
            scenario=scenario.to_dict(),
            num_envs=num_envs,
            image_size=image_size,
            supersample=supersample,
            threads=threads,
            channels_last=layout == "hwc",
        )
        frame_shape = (3, image_size, image_size) if layout == "chw" else (image_size, image_size, 3)
        self.single_observation_space = Box(0, 255, frame_shape, np.uint8)
        self.single_action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._arrays_of = (num_envs, frame_shape, image_size, ids)
        self._reused = _Arrays(self._simulator, *self._arrays_of) if reuse_buffers else None
        self._all = np.ones(num_envs, np.bool_)
        self._all.flags.writeable = False  # handed out in info
        self._ended = np.zeros(num_envs, np.bool_)
        self._seeds = EpisodeSeeds(num_envs)
        self._started = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], Info]:
        """Start new episodes.

        Args:
            seed: one int, or one int (or None) an environment; None continues the seed streams.
            options: {"reset_mask": bool [N]} resets only some; the others are drawn again as they stand.

        Returns:
            Frames and info of all environments.
        """
        which = reset_mask(options, self.num_envs, self._started)
        if seed is not None:
            self._seeds.reseed(seed, which)
        out = self._arrays()
        self._simulator.reset(self._seeds.draw(which), which, out.handle)
        if not which.all():
            self._simulator.observe(~which, out.handle)
        self._started = True
        self._ended &= ~which
        return out.rgb, self._info(out)

    def step(self, actions: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Hold each action for `action_repeat` frames, or until the episode ends, and return the last frame."""
        rows = np.ascontiguousarray(actions, np.float32)
        resetting = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else ~self._all
        out = self._arrays()
        self._simulator.step(rows, self.action_repeat, ~resetting, out.handle)
        if resetting.any():
            self._simulator.reset(self._seeds.draw(resetting), resetting, out.handle)
        end = out.results["end"]
        self._ended = end != 0
        truncated = end == _TIME_LIMIT
        return out.rgb, out.results["reward"].astype(np.float64), self._ended & ~truncated, truncated, self._info(out)

    def observe(self) -> tuple[NDArray[np.uint8], Info]:
        """The current frames and info again, without moving anything; after `load_state`, for one."""
        out = self._arrays()
        self._simulator.observe(self._all, out.handle)
        return out.rgb, self._info(out)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """With render_mode="rgb_array", one uint8 [render_size, render_size, 3] frame an environment."""
        if self.render_mode is None:
            return None
        return tuple(self._view(env) for env in range(self.num_envs))

    def privileged_actions(self) -> NDArray[np.float32]:
        """What a planner that knows where everybody is would do now, float32 [N, 2]; zero for ended environments."""
        actions = np.empty((self.num_envs, 2), np.float32)
        self._simulator.privileged_actions(actions)
        return actions

    def save_state(self) -> bytes:
        """Every world and seed stream, for `load_state` in an environment of the same scenario, N and build."""
        header = {
            "scenario": self.scenario.to_dict(),
            "autoreset": self.autoreset_mode.value,
            "started": self._started,
            "ended": self._ended.tolist(),
            "seeds": self._seeds.to_dict(),
        }
        return _STATE_HEADER + json.dumps(header).encode() + b"\n" + self._simulator.save_state()

    def load_state(self, state: bytes) -> None:
        """Go on exactly where `save_state` was called.

        Raises:
            ValueError: not such a state, cut off, or of another scenario, autoreset mode or number of environments.
        """
        if not state.startswith(_STATE_HEADER):
            raise ValueError("state: not made by save_state, or by another version of it")
        text, _, worlds = state[len(_STATE_HEADER) :].partition(b"\n")
        header = json.loads(text)
        check_scenario(header["scenario"], self.scenario)
        if header["autoreset"] != self.autoreset_mode.value:
            raise ValueError(f"state: saved with autoreset {header['autoreset']}, here {self.autoreset_mode.value}")
        self._simulator.load_state(worlds)
        self._started = header["started"]
        self._ended = np.array(header["ended"], np.bool_)
        self._seeds.load_dict(header["seeds"])

    def _arrays(self) -> _Arrays:
        return self._reused or _Arrays(self._simulator, *self._arrays_of)

    def _view(self, env: int) -> NDArray[np.uint8]:
        frame = np.empty((self.render_size, self.render_size, 3), np.uint8)
        self._simulator.view(env, self.render_size, 2, frame)
        return frame

    def _info(self, out: _Arrays) -> Info:
        info = results_info(out.results)
        info["ego"] = out.ego
        info["actors"] = out.actors
        if out.class_ids is not None and out.instance_ids is not None:
            info["class_ids"] = out.class_ids
            info["instance_ids"] = out.instance_ids
        info.update({f"_{name}": self._all for name in list(info)})  # gymnasium's "which rows are filled"
        return info
