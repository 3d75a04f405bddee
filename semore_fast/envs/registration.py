"""semore/JayWalk-v0, semore/HighBeam-v0 and semore/HighWay-v0 in gymnasium's registry."""

from __future__ import annotations

import gymnasium

__all__ = ["ENV_IDS", "register"]

ENV_IDS = {"jw": "semore/JayWalk-v0", "hb": "semore/HighBeam-v0", "hw": "semore/HighWay-v0"}


def register() -> None:
    """Add the three environments; `import semore_fast.envs` does it."""
    for scenario, env_id in ENV_IDS.items():
        gymnasium.register(
            env_id,
            entry_point="semore_fast.envs.gym_env:DrivingEnv",
            vector_entry_point="semore_fast.envs.gym_env:make_vector",
            kwargs={"scenario": scenario},
        )
