"""What is driven through: every number that decides an episode, by the names of `csrc/driving/scenario.hpp`.

Sources, by the word used below. *DMR*: the public code (github.com/kyoran/DMR) whose scenarios and metrics the Semore
paper (arXiv 2512.05172) reports. *calibration*: chosen here so that the reference drivers' scores fall in the range of
the paper's tables; `docs/simulator.md` tells how. *drawing*: looks only, on the ego's behaviour it has no effect.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Reward", "Road", "Scenario", "Weather"]

Kind = Literal["jaywalk", "highbeam", "highway"]
Weather = Literal["day", "dusk", "midnight", "rain", "fog"]
Reward = Literal["dmr", "zhang"]
"""Per frame, with v_s the speed along the lane, I the collision impulse in N s, b the brake and s the steering:

- "dmr": v_s dt - 0.001 I - 0.1 b - 0.1 |s| (the code behind the paper's metrics)
- "zhang": v_s dt - 0.0001 I - |s| (Zhang et al. 2020 and SECANT, the two works the paper cites)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Road:
    """Cross-section of a straight, endless road."""

    lanes_forward: int = 1
    """Lanes driven towards +x."""
    lanes_oncoming: int = 1
    """Lanes driven towards -x; 0 on a one-way road."""
    lane_width_m: float = 4.0
    """CARLA's Town01."""
    median_width_m: float = 0.0
    """Between the directions; a barrier stands there when it is above 0."""
    shoulder_width_m: float = 0.0
    """Paved strip outside the outermost lane."""
    pavement_width_m: float = 3.0
    """On both sides; 0 on a highway, where guard rails stand instead."""
    fence_y_m: float = 9.0
    """|y| of the solid boundary."""
    town: bool = True
    """Houses, trees and lamp posts; otherwise fields, trees and guard rails (drawing)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One scenario. A frozen value: change it with `dataclasses.replace`.

    The simulator checks the values and raises `ValueError` naming the field that it cannot use.
    """

    kind: Kind = "jaywalk"
    """Which rules place and move the other road users."""
    road: Road = dataclasses.field(default_factory=Road)
    weather: Weather = "dusk"
    """Light and weather. The paper does not say which it used."""
    street_lights: bool = False
    """Lit lamp posts at night. DMR switches them off, poles and all."""
    actors_drawn: bool = True
    """False is the control for "does the driver see them?": the same physics, people and vehicles invisible."""

    dt_s: float = 0.05
    """One frame (DMR: 20 Hz)."""
    max_episode_frames: int = 500
    """Time limit: 25 s (DMR's run script)."""
    warmup_frames: int = 5
    """Frames with a zero action after each reset, not counted (DMR)."""

    speed_limit_mps: float = 11.0
    """The ego's throttle fades out at this speed (calibration: 500 frames give the 263 m of the paper's best)."""
    ego_start_min_m: float = 0.2
    """Start along the road, uniform between min and max (DMR)."""
    ego_start_max_m: float = 2.2

    walkers_per_side: int = 1
    """People per side and group; 0 means none. One on each side (DMR)."""
    first_group_m: float = 20.0
    """DMR has two groups, at 20 to 22 m and 100 to 102 m; here one stands every `group_spacing_m` for ever."""
    group_length_m: float = 2.0
    group_spacing_m: float = 40.0
    """calibration; DMR: 80."""
    walker_speed_min_mps: float = 1.0
    """One draw an episode and side, uniform (DMR)."""
    walker_speed_max_mps: float = 8.0
    crossing_probability: float = 0.5
    """That a person on the pavement sets out, asked every `crossing_interval_frames` (DMR: once a second)."""
    crossing_interval_frames: int = 20

    cyclists: int = 0
    cyclist_start_min_m: float = 30.0
    """DMR."""
    cyclist_start_max_m: float = 35.0
    cyclist_speed_min_mps: float = 4.0
    """calibration; DMR lets CARLA's traffic manager ride the bike at up to 10 % above the limit."""
    cyclist_speed_max_mps: float = 6.0
    cyclist_edge_min_m: float = 0.5
    """Distance from the lane's right edge (calibration)."""
    cyclist_edge_max_m: float = 2.0
    cyclist_return_min_m: float = 35.0
    """How far ahead the next cyclist appears after one was passed (calibration)."""
    cyclist_return_max_m: float = 50.0
    cyclist_swerve_probability: float = 0.25
    """Each second, of choosing another distance from the edge (calibration)."""

    oncoming_vehicles: int = 0
    oncoming_start_min_m: float = 15.0
    """DMR."""
    oncoming_start_max_m: float = 120.0
    oncoming_speed_min_mps: float = 10.0
    """calibration; DMR: 30 to 60 % above Town01's limit."""
    oncoming_speed_max_mps: float = 14.0
    oncoming_lean_max_m: float = 1.5
    """How far towards the centre of the road an oncoming vehicle may keep (calibration)."""

    same_direction_vehicles: int = 0
    same_direction_start_min_m: float = 14.0
    same_direction_start_max_m: float = 200.0
    same_direction_speed_min_mps: float = 5.0
    """calibration: DMR's traffic is faster than its limit and drives away from an ego at the paper's mean speed."""
    same_direction_speed_max_mps: float = 10.0
    high_beam_probability: float = 0.0
    """Per vehicle (DMR's beam_ratio)."""

    struck_person_mass_kg: float = 250.0
    """Effective mass behind the impulse when the ego runs into somebody (calibration; not a body's weight)."""
    struck_cyclist_mass_kg: float = 300.0
    struck_vehicle_mass_kg: float = 320.0
    walker_mass_kg: float = 75.0
    """Counts when a person walks into the ego."""
    restitution_vehicle: float = 0.0
    """0 is a dead stop, 1 a full bounce."""
    restitution_soft: float = 0.0
    """Of people and bikes."""
    contact_impulse_cap_ns: float = 700.0
    """Of a lasting contact, per frame after the first: what the tyres can push."""
    carried_friction: float = 0.6
    """Of a carried body on the road; gives the impulse of each frame it is carried."""
    carried_braking_mps2: float = 3.0
    """No impulse counts from somebody carried while the ego has slowed this fast since the blow (calibration)."""
    shed_speed_drop_mps: float = 3.0
    """Braking by this much since the contact began sheds a hooked vehicle (calibration)."""
    shed_speed_mps: float = 1.0
    """Being slower than this sheds whoever is carried: a driver who has hit somebody must stop (calibration)."""

    reward: Reward = "dmr"
    collision_frames_to_end: int = 20
    """Consecutive frames with a collision that end the episode (DMR). A single collision never does."""
    stuck_check_frames: int = 100
    """Every so many frames an ego slower than `stuck_speed_mps` ends the episode (DMR)."""
    stuck_speed_mps: float = 0.02

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict by field name, for the simulator, configs and saved states."""
        return dataclasses.asdict(self)
