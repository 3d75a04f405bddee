"""Types of the C++ extension; the wrappers in semore_fast document each call."""

from typing import Any, final

import numpy as np
import numpy.typing as npt

# Replay buffer (csrc/bindings/replay.cpp)

@final
class ReplayBuffer:
    def __init__(
        self,
        *,
        capacity: int,
        num_envs: int,
        frame_shape: tuple[int, int, int],
        action_dim: int,
        stack: int,
        n_step: int,
        discount: float,
        masks: bool,
        threads: int,
    ) -> None: ...
    def begin(self, env_ids: npt.NDArray[np.int64], frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]: ...
    def add(
        self,
        env_ids: npt.NDArray[np.int64],
        actions: npt.NDArray[np.float32],
        rewards: npt.NDArray[np.float32],
        terminated: npt.NDArray[np.bool_],
        truncated: npt.NDArray[np.bool_],
        next_frames: npt.NDArray[np.uint8],
        admit: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]: ...
    def set_masks(self, frame_ids: npt.NDArray[np.int64], masks: npt.NDArray[np.uint8]) -> int: ...
    def withdraw(self, frame_ids: npt.NDArray[np.int64]) -> int: ...
    def gather(
        self,
        indices: npt.NDArray[np.int64],
        frames: npt.NDArray[np.uint8],
        masks: npt.NDArray[np.uint8],
        has_mask: npt.NDArray[np.bool_],
        action: npt.NDArray[np.float32],
        reward: npt.NDArray[np.float32],
        nstep_return: npt.NDArray[np.float32],
        bootstrap_discount: npt.NDArray[np.float32],
    ) -> None: ...
    def locate(
        self,
        indices: npt.NDArray[np.int64],
        slots: npt.NDArray[np.int64],
        has_mask: npt.NDArray[np.bool_],
        action: npt.NDArray[np.float32],
        reward: npt.NDArray[np.float32],
        nstep_return: npt.NDArray[np.float32],
        bootstrap_discount: npt.NDArray[np.float32],
    ) -> None: ...
    @property
    def frames(self) -> npt.NDArray[np.uint8]: ...
    @property
    def masks(self) -> npt.NDArray[np.uint8]: ...
    def stats(self) -> dict[str, int]: ...
    def state_arrays(self) -> dict[str, npt.NDArray[Any]]: ...
    def load_state_arrays(self, arrays: dict[str, npt.NDArray[Any]]) -> None: ...
    def __len__(self) -> int: ...

# Driving simulator (csrc/bindings/driving.cpp)

RESULT_DTYPE: np.dtype[np.void]
"""TickResult: float32 reward, reward_progress, reward_collision, reward_brake, reward_steer, distance_m,
crash_intensity_ns, steer_abs, brake; int32 frames, new_hits; uint8 end. Sums over a step's frames, but for `end`."""
END_REASONS: tuple[str, ...]
CLASS_IDS: dict[str, int]
ACTOR_ROWS: int

class ResetNeededError(RuntimeError):
    """An environment that has ended, or was never reset, was asked to go on."""

class SimulatorOutputs:
    """Checked output arrays of one simulator; see `Simulator.outputs`."""

class Simulator:
    """N driving worlds with cameras, stepped and rendered in one call.

    Arrays are caller-owned, C contiguous and of exactly the shape and type named; anything else raises `TypeError` or
    `ValueError` naming the argument. Calls touch only the rows where `which` (bool [N]) is true, and release the GIL.
    Two threads must not call one simulator at once (`RuntimeError`). Results do not depend on `threads`.
    """

    def __init__(
        self,
        *,
        scenario: dict[str, Any],
        num_envs: int,
        image_size: int,
        supersample: int,
        threads: int,
        channels_last: bool,
    ) -> None:
        """`scenario` holds every field of ScenarioConfig by name; a missing or unknown name raises `ValueError`."""

    def outputs(
        self,
        *,
        results: npt.NDArray[np.void],
        ego: npt.NDArray[np.float32] | None,
        actors: npt.NDArray[np.float32] | None,
        rgb: npt.NDArray[np.uint8] | None,
        class_ids: npt.NDArray[np.uint8] | None,
        instance_ids: npt.NDArray[np.uint8] | None,
    ) -> SimulatorOutputs:
        """Check and keep the arrays that calls write into.

        results RESULT_DTYPE [N]; ego float32 [N, 4]; actors float32 [N, ACTOR_ROWS, 8]; rgb uint8 [N, 3, H, W] or
        [N, H, W, 3]; class_ids and instance_ids uint8 [N, H, W], only together with rgb. None leaves one out; without
        rgb nothing is rendered.
        """

    def reset(self, seeds: npt.NDArray[np.uint64], which: npt.NDArray[np.bool_], out: SimulatorOutputs) -> None:
        """Start episodes from seeds [N]; their results become zero."""

    def step(
        self, actions: npt.NDArray[np.float32], frames: int, which: npt.NDArray[np.bool_], out: SimulatorOutputs
    ) -> None:
        """Hold actions [N, 2] for up to `frames` frames, less where an episode ends.

        Raises `ResetNeededError`, or `ValueError` for non-finite actions, before any world moves.
        """

    def observe(self, which: npt.NDArray[np.bool_], out: SimulatorOutputs) -> None:
        """Write the current state and frame again; results become zero."""

    def view(self, env: int, image_size: int, supersample: int, rgb: npt.NDArray[np.uint8]) -> None:
        """One environment at another size, rgb [image_size, image_size, 3]."""

    def privileged_actions(self, actions: npt.NDArray[np.float32]) -> None:
        """Fill actions [N, 2] from a planner that knows every actor; zero for ended environments."""

    def save_state(self) -> bytes: ...
    def load_state(self, state: bytes) -> None:
        """Go on where save_state was called, bit for bit; changes nothing when it raises `ValueError`."""

def scenario_presets() -> dict[str, dict[str, Any]]:
    """The C++ values of "defaults", "jw", "hb" and "hw", by field name."""

# The scenario's rules for another world (csrc/bindings/director.cpp)

SEEN_DTYPE: np.dtype[np.void]
"""Where another world's body is: float32 x_m, y_m (road frame); uint8 status: 0 up, 1 struck, 2 gone."""
VEHICLE_KINDS: tuple[str, ...]
"""Names of a vehicle's `kind`."""
FIRST_VEHICLE_ID: int
"""Instance id of vehicle slot 0; walker slot 0 has 1."""

def limiter_share(speed_mps: float, speed_limit_mps: float) -> float:
    """What the ego's speed limiter leaves of the throttle, in [0, 1]."""

class Director:
    """The scenario's rules without a world: who stands and drives where, who sets out when, how a frame is judged.

    Another world holds the bodies. Draws, order of draws, reward and reasons to end are the embedded simulator's own
    code. All in the road frame: x along the road, y to the left, yaw counter-clockwise, metres, radians, m/s.

    A frame is `advance`, the other world's tick, `judge`. An episode is `start`, the warm-up's frames, `begin`, frames.
    """

    def __init__(self, scenario: dict[str, Any]) -> None:
        """`scenario` holds every field of ScenarioConfig by name; a missing or unknown name raises `ValueError`."""

    def start(self, seed: int) -> None:
        """Draw an episode's start; the seed is a world's, in [0, 2**64), as in `Simulator.reset`."""

    def begin(self) -> None:
        """End the warm-up: frames count from here."""

    def ego_place(self) -> dict[str, float]:
        """x_m, y_m, lane (0 next to the centre) and lights (bits of scene.hpp's Lights)."""

    def walkers(self) -> npt.NDArray[np.void]:
        """One row a slot: float32 x_m, y_m, yaw_rad; uint8 [3] colour (RGB), style."""

    def vehicles(self) -> npt.NDArray[np.void]:
        """One row a slot: float32 x_m, y_m, speed_mps, desired_mps, lane_offset_m (left, +y), length_m, width_m,
        height_m; uint8 kind (`VEHICLE_KINDS`); int8 direction (1 is +x), lane; uint8 lights, style, [3] colour."""

    def advance(
        self, *, ego_x_m: float, walkers: npt.NDArray[np.void], vehicles: npt.NDArray[np.void]
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
        """Orders for the frame to come, from SEEN_DTYPE rows of everybody as they are now.

        Returns:
            Walkers: float32 speed_y_mps (of this frame: y + speed_y_mps * dt_s is exactly the place after it); place (a
            row of `walkers()`, after the frame); uint8 order: 0 none, 1 sets out, 2 arrives and stands, 3 is somebody
            else in another place. Vehicles: place (a row of `vehicles()`); bool moved (to a new place ahead), swerved
            (chose another lane_offset_m).
        """

    def judge(
        self,
        *,
        x_m: float,
        y_m: float,
        yaw_rad: float,
        vx_mps: float,
        vy_mps: float,
        steer: float,
        drive: float,
        crash_intensity_ns: float,
        new_hits: int,
    ) -> int:
        """Score the frame that has passed, count it and return its reason to end (index into END_REASONS)."""

    def take(self) -> npt.NDArray[np.void]:
        """RESULT_DTYPE [1]: the sum of the frames judged since the last call."""

    def ego_row(
        self, *, x_m: float, y_m: float, yaw_rad: float, vx_mps: float, vy_mps: float
    ) -> npt.NDArray[np.float32]:
        """float32 [4]: speed_mps, lane_offset_m, heading_error_rad, lane_width_m."""

# Open world (csrc/bindings/open_world.cpp)

class OpenWorldFull(RuntimeError):  # noqa: N818 - says what happened, as StopIteration does
    """No slot is left: 48 walkers and 33 vehicles, cyclists included, fit."""

@final
class OpenWorld:
    """A road on which vehicles and people come, go and move as callers say, with any number of cameras.

    Axes: x along the road, y to the left, z up; metres, radians counter-clockwise, m/s, N s. A tick moves people, then
    vehicles, then resolves contacts, then moves whoever was struck, as the embedded simulator does; with one reporting
    vehicle and people alone it equals the embedded simulator's to the bit. Bad arguments, an actor or a camera that is
    not here among them, raise `ValueError` and change nothing. Any thread may call anything; `tick` and `render`
    release the GIL.
    """

    def __init__(self, *, road: dict[str, Any], dt_s: float) -> None:
        """`road` holds every field of Road by name. dt_s is 0.005 to 0.1."""

    def set_scene(self, *, weather: str, street_lights: bool, scenery_seed: int) -> None:
        """Light, weather and what stands beside the road; the seed of an embedded episode gives that one's houses."""

    def set_dt(self, dt_s: float) -> None: ...
    def spawn_vehicle(
        self,
        *,
        kind: str,
        length_m: float,
        width_m: float,
        height_m: float,
        colour: tuple[int, int, int],
        style: int,
        x_m: float,
        y_m: float,
        yaw_rad: float,
    ) -> int:
        """The new actor, or -1 where somebody stands or a fence or barrier is.

        kind: car, van, truck, police_car or cyclist. style: 0 to 255. Ids count up from 1 and never come again; slots
        are filled from the first free one. Raises `OpenWorldFull`.
        """

    def spawn_walker(self, *, colour: tuple[int, int, int], style: int, x_m: float, y_m: float, yaw_rad: float) -> int:
        """As `spawn_vehicle`."""

    def remove(self, actor: int) -> None: ...
    def control_vehicle(
        self, actor: int, *, steer: float, throttle: float, brake: float, hand_brake: bool, reverse: bool
    ) -> None:
        """Held until the next call. steer: -1 to 1, right positive; throttle and brake: 0 to 1."""

    def set_speed_limit(self, actor: int, speed_mps: float) -> None:
        """Fade out a vehicle's throttle at this speed, as the embedded ego's limiter does; without a call, never."""

    def control_walker(self, actor: int, *, x: float, y: float, speed_mps: float) -> None:
        """Walk along the unit vector (x, y) until the next call, and face that way; speed 0 keeps the direction."""

    def place(self, actor: int, *, x_m: float, y_m: float, z_m: float, yaw_rad: float) -> None:
        """Move at once. Velocity stays; contacts end; somebody struck stands again. z_m lasts until the next tick."""

    def set_velocity(self, actor: int, *, x_mps: float, y_mps: float) -> None: ...
    def set_lights(self, actor: int, bits: int) -> None:
        """1 low beam, 2 high beam, 4 brake, 8 tail, 16 beacon. Braking lights up by itself."""

    def set_reporting(self, actor: int, on: bool) -> None:
        """Whether a vehicle feels its collisions as the embedded simulator's ego does, and reports them."""

    def tick(self) -> None: ...
    def reset_clock(self, ticks: int) -> None:
        """Rain and beacons take their time from this count; an embedded episode starts at its warm-up frames."""

    def actors(self) -> npt.NDArray[np.void]:
        """One row an actor, people first, each in the order of slots.

        id uint32; alive uint8, 0 once a person or cyclist was struck; present uint8, 0 once they are gone too;
        instance_id uint8; float32 x_m, y_m, z_m, yaw_rad, pitch_rad, vx_mps, vy_mps, yaw_rate_rps, ax_mps2, ay_mps2.
        """

    def collisions(self) -> npt.NDArray[np.void]:
        """Of the last tick, those of reporting vehicles.

        actor, other uint32 (other 0: fence or barrier); impulse_x_ns, impulse_y_ns float32, acting on `actor`, whose
        norm computed in float64 and rounded to float32 is the simulator's own; begun uint8, 0 while a contact lasts.
        """

    def open_camera(self, *, width: int, height: int, fov_deg: float, supersample: int) -> int:
        """16 to 2048 pixels a side; the field of view is horizontal, as CARLA's; supersample 1 to 4."""

    def close_camera(self, camera: int) -> None: ...
    def render(
        self,
        camera: int,
        *,
        owner: int,
        x_m: float,
        y_m: float,
        z_m: float,
        yaw_rad: float,
        pitch_rad: float,
        bgra: npt.NDArray[np.uint8] | None,
        class_ids: npt.NDArray[np.uint8] | None = None,
        instance_ids: npt.NDArray[np.uint8] | None = None,
        depth_m: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Draw into C-contiguous arrays [height, width] (bgra [height, width, 4]); None leaves one out.

        The pose is relative to the owner's centre on the ground, absolute when owner is 0. Positive pitch looks up. An
        owner that has the camera inside is not drawn and lights the road with its own lamps. depth_m is along the
        optical axis; sky and all beyond lie at 1000 m.
        """

# Input pipeline (csrc/bindings/frames.cpp)

def encoder_inputs(
    *,
    batch: int,
    stack_frames: int,
    height: int,
    width: int,
    store_frames: int,
    frames: int,
    masks: int,
    centre: int,
    slots: int,
    shift: int,
    stack: int,
    residual: int,
    masked: int,
    offset: float,
    absolute: bool,
    bfloat16: bool,
    threads: int,
) -> None:
    """Fill the encoders' inputs at the given addresses, 0 for none; `semore_fast.ops_cpp` checks what they hold.

    Raises `ValueError` for a slot outside the store, before anything is read or written.
    """

def frames_instruction_set() -> str:
    """What this processor runs `encoder_inputs` with: "avx512vbmi", "avx2" or "portable"."""

# Similarity loss (csrc/bindings/similarity.cpp)

def ssim_distance(
    *,
    batch: int,
    height: int,
    width: int,
    channels: int,
    window: int,
    x: int,
    y: int,
    distance: int,
    dx: int,
    dy: int,
    threads: int,
) -> None:
    """Fill the distances and, where their addresses are not 0, the slopes; `semore_fast.ops_cpp` checks what they hold.

    Raises `ValueError` for empty maps or a window that does not fit them.
    """

def trunk_instruction_set() -> str:
    """Name of the instruction set that trunks use on this processor."""

def trunk_forward(
    *,
    batch: int,
    height: int,
    width: int,
    channels: int,
    layers: list[tuple[int, int, int, int]],
    picture: int,
    weights: list[int],
    biases: list[int],
    maps: list[int],
    threads: int,
) -> None:
    """Fill each layer's maps, but those between whose address is 0; `semore_fast.trunk_cpp` checks what they hold.

    Raises `ValueError` for a layer that does not fit its map.
    """

def trunk_backward(
    *,
    batch: int,
    height: int,
    width: int,
    channels: int,
    layers: list[tuple[int, int, int, int]],
    picture: int,
    weights: list[int],
    biases: list[int],
    maps: list[int],
    upstream: int,
    weight_slopes: list[int],
    bias_slopes: list[int],
    picture_slopes: int,
    threads: int,
) -> None:
    """Fill the slopes of weights, biases and, unless its address is 0, the picture; raises as `trunk_forward`."""
