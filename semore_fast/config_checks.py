"""Refuses configurations that no run can use. Imports nothing heavy."""

from __future__ import annotations

from semore_fast.carla_config import check_carla
from semore_fast.config import RunConfig
from semore_fast.errors import UserError


def check(config: RunConfig) -> None:
    """Refuses values no run can use.

    Raises:
        UserError: names the flag and the fix.
    """
    positive = {
        "--frames": config.frames,
        "--envs": config.envs,
        "--env.action-repeat": config.env.action_repeat,
        "--sampling.batch-size": config.sampling.batch_size,
        "--sampling.n-step": config.sampling.n_step,
        "--sampling.burst-steps": config.sampling.burst_steps,
        "--evaluation.episodes": config.evaluation.episodes,
        "--evaluation.final-episodes": config.evaluation.final_episodes,
        "--evaluation.envs": config.evaluation.envs,
        "--evaluation.every-frames": config.evaluation.every_frames,
        "--checkpoint-every-frames": config.checkpoint_every_frames,
        "--log-every-frames": config.log_every_frames,
        "--guide.batch": config.guide.batch,
        "--guide.queue": config.guide.queue,
        "--learner.actor-every": config.learner.actor_every,
        "--learner.target-every": config.learner.target_every,
    }
    for flag, value in positive.items():
        if value < 1:
            raise UserError(f"{flag} must be at least 1, got {value}")
    not_negative = {
        "--seed": config.seed,
        "--threads": config.threads,
        "--torch-threads": config.torch_threads,
        "--sampling.capacity": config.sampling.capacity,
        "--sampling.random-frames": config.sampling.random_frames,
        "--learner.shift-pixels": config.learner.shift_pixels,
        "--evaluation.videos": config.evaluation.videos,
        "--evaluation.driver-episodes": config.evaluation.driver_episodes,
        "--guide.key-frame-interval": config.guide.key_frame_interval,
    }
    for flag, value in not_negative.items():
        if value < 0:
            raise UserError(f"{flag} must not be negative, got {value}")
    if config.sampling.updates_per_step <= 0:
        raise UserError(f"--sampling.updates-per-step must be above 0, got {config.sampling.updates_per_step}")
    fractions = {
        "--sampling.discount": config.sampling.discount,
        "--sampling.burst-probability": config.sampling.burst_probability,
        "--semore.steered-fraction": config.semore.steered_fraction,
        "--learner.warmup-fraction": config.learner.warmup_fraction,
    }
    for flag, fraction in fractions.items():
        if not 0 <= fraction <= 1:
            raise UserError(f"{flag} must lie in [0, 1], got {fraction}")
    learner = config.learner
    if learner.critic_bins < 0 or learner.critic_bins == 1:
        raise UserError(f"--learner.critic-bins must be 0 or at least 2, got {learner.critic_bins}")
    if not learner.v_min < learner.v_max:
        raise UserError(f"--learner.v-min must be below --learner.v-max, got {learner.v_min} and {learner.v_max}")
    check_carla(config.carla, used=config.sim == "carla", envs=config.envs)
