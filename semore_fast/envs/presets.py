"""The paper's three scenarios. Sources as in `scenario.py`; equal to `csrc/driving/scenario.cpp` by test.

Where DMR and its sister projects differ, the variant that the paper's words fit is taken, and said here.
"""

from __future__ import annotations

from dataclasses import replace

from semore_fast.envs.scenario import Road, Scenario

__all__ = ["HB", "HW", "JW", "SCENARIOS", "on_carla"]

JW = Scenario()
"""JayWalk: a two-lane town road; people stand on both pavements, and some walk out in front of the car.

DMR's `jaywalk` on CARLA's Town01, road 12. There the road has two groups of people; here groups go on for ever.
"""

HB = Scenario(
    kind="highbeam",
    weather="midnight",
    road=Road(pavement_width_m=0.4, fence_y_m=4.4),
    walkers_per_side=0,
    cyclists=1,
    oncoming_vehicles=3,
    high_beam_probability=1.0,
)
"""HighBeam: the road by night, between walls; oncoming cars dazzle, and an unlit cyclist rides ahead.

DMR's `highbeam`: one bike 30 to 35 m ahead, three oncoming vehicles with all lights on. Midnight, because glare needs
darkness and DMR's launch script says so. The walls at the kerb are calibration: the first policy trained here
rode along an empty pavement past everybody, and needed no eyes for it (docs/learning.md). CARLA has none (`on_carla`).
"""

HW = Scenario(
    kind="highway",
    weather="day",
    road=Road(
        lanes_forward=4,
        lanes_oncoming=4,
        lane_width_m=3.5,
        median_width_m=2.0,
        shoulder_width_m=2.5,
        pavement_width_m=0.0,
        fence_y_m=18.0,
        town=False,
    ),
    speed_limit_mps=14.0,
    walkers_per_side=0,
    same_direction_vehicles=20,
    same_direction_speed_min_mps=4.0,
    same_direction_speed_max_mps=9.0,
    high_beam_probability=0.5,
)
"""HighWay: eight lanes, twenty vehicles going the same way, slower than the car (calibration).

Twenty and their places are those of `highway` in DMR's sister projects HAVE and DDM, on CARLA's Town04, road 45, whose
lanes these are; DMR itself keeps only a ten-car variant. Day is a guess: the paper does not say.
"""

SCENARIOS = {"jw": JW, "hb": HB, "hw": HW}
"""By the names of `--scenario`."""


def on_carla(scenario: Scenario) -> Scenario:
    """The scenario on the roads that CARLA's towns have: HighBeam without its walls."""
    return replace(scenario, road=JW.road) if scenario.kind == HB.kind else scenario
