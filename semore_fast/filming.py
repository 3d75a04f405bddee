"""Films an evaluation episode: camera, what guidance marks, where the agent attends (the paper's Fig. 8)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from semore.agents import Agent
from semore.guidance import Scripted, Snapshot
from semore_fast.envs import END_REASONS
from semore_fast.evaluator import AgentPolicy, Evaluator
from semore_fast.film_strip import FilmStrip
from semore_fast.snapshots import snapshot_of
from semore_fast.video import VideoWriter


def film_episode(evaluator: Evaluator, agent: Agent, seed: int, path: Path) -> None:
    """Drives one episode with the deterministic policy and films every step; a strip of it lies beside it as .jpg.

    The film's camera is sharper than the policy's where the simulator can draw an episode twice.

    Raises:
        VideoError: the encoder failed.
    """
    size = evaluator.config.env.image_size
    env = evaluator.worlds.evaluation_env(1, ids=True)
    policy = AgentPolicy(agent, 1, (3, size, size))
    strip = FilmStrip()
    with ExitStack() as stack:
        stack.callback(env.close)
        sharp = evaluator.worlds.film_env()
        if sharp is not None:
            stack.callback(sharp.close)
        frames, info = env.reset(seed=[seed])
        shown = frames if sharp is None else sharp.reset(seed=[seed])[0]
        steps, total, ended = np.zeros(1, np.int64), 0.0, False
        with VideoWriter(path, env.metadata["render_fps"]) as video:
            while not ended:
                action = policy(frames, steps, env)
                snapshot = snapshot_of(frames, info)
                attention = agent.attention(torch.from_numpy(policy.stacks.frames).to(agent.device))
                heat = None if attention is None else attention[0].cpu().numpy()
                mask = marked(snapshot)
                speed_mps = info["ego"][0, 0]
                video.add(shown[0], mask, heat, caption(int(steps[0]), speed_mps, action[0], total))
                strip.add(shown[0], mask, heat, f" {steps[0]:3d} {speed_mps:4.1f} m/s")
                frames, rewards, terminated, truncated, info = env.step(action)
                shown = frames if sharp is None else sharp.step(action)[0]
                total, steps, ended = total + float(rewards[0]), steps + 1, bool(terminated[0] | truncated[0])
            video.add(shown[0], caption=f"{END_REASONS[int(info['end_reason'][0])]}, return {total:.1f}")
        strip.save(path.with_suffix(".jpg"))


def marked(snapshot: Snapshot) -> NDArray[np.generic]:
    """What scripted guidance marks, [H, W]; nothing where the simulator gives no ids."""
    if snapshot.privileged is None:
        return np.zeros(snapshot.frame.shape[1:], np.uint8)
    scripted = Scripted()
    return scripted.segment(snapshot, scripted.annotate(snapshot))


def caption(step: int, speed_mps: float, action: NDArray[np.float32], episode_return: float) -> str:
    """What stands under a picture."""
    pedal = "throttle" if action[1] >= 0 else "brake"
    return (
        f"step {step}  {speed_mps:4.1f} m/s  steer {action[0]:+.2f}  {pedal} {abs(action[1]):.2f}"
        f"  return {episode_return:.1f}"
    )
