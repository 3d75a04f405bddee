"""Draws the README's picture of each scenario: `python docs/pictures.py` (needs Pillow)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from semore_fast.envs import SCENARIOS, DrivingVectorEnv

SHOTS = {"jw": (2, 28), "hb": (4, 40), "hw": (5, 60)}  # seed of the episode, step of the picture


def main() -> None:
    """Drives each scenario with the privileged driver to a step worth seeing."""
    for name, (seed, step) in SHOTS.items():
        env = DrivingVectorEnv(SCENARIOS[name], autoreset="disabled", render_mode="rgb_array", render_size=384)
        env.reset(seed=[seed])
        for _ in range(step):
            env.step(env.privileged_actions())
        pictures = env.render()
        assert pictures is not None
        Image.fromarray(pictures[0]).save(Path(__file__).parent / "images" / f"{name}.png", optimize=True)
        env.close()


if __name__ == "__main__":
    main()
