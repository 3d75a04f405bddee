"""Driving environments: JayWalk, HighBeam and HighWay on the built-in simulator. Importing this registers them."""

from semore_fast.envs.embedded import CLASS_IDS, END_REASONS, DrivingVectorEnv
from semore_fast.envs.gym_env import DrivingEnv
from semore_fast.envs.presets import SCENARIOS, on_carla
from semore_fast.envs.registration import ENV_IDS, register
from semore_fast.envs.scenario import Road, Scenario

__all__ = [
    "CLASS_IDS",
    "END_REASONS",
    "ENV_IDS",
    "SCENARIOS",
    "DrivingEnv",
    "DrivingVectorEnv",
    "Road",
    "Scenario",
    "on_carla",
]

register()
