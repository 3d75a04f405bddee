"""The configurations that runs start from. Imports nothing heavy: the command line reads them."""

from __future__ import annotations

import dataclasses

from semore.config import AgentConfig, SemoreConfig
from semore_fast.config import EnvConfig, EvaluationConfig, GuidanceConfig, ReplayConfig, RunConfig

PAPER = RunConfig(learner=AgentConfig(precision="auto"))
"""The paper's protocol; what it leaves open follows pixel SAC (README, "Paper says / we assume / why")."""

DMR = RunConfig(
    preset="dmr",
    learner=AgentConfig(
        trunk="dmr",
        hidden_dim=256,
        learning_rate=1e-4,
        temperature_learning_rate=1e-4,
        initial_temperature=0.01,
        critic_tau=0.005,
    ),
    sampling=ReplayConfig(batch_size=32, capacity=10_000),
)
"""The values of DMR's run script, whose scenarios and metrics the paper's tables use."""

LAPTOP = RunConfig(
    preset="laptop",
    frames=160_000,
    checkpoint_every_frames=40_000,
    torch_threads=1,
    envs=16,
    env=EnvConfig(image_size=32, supersample=4, action_repeat=4),
    sampling=ReplayConfig(
        batch_size=64,
        n_step=3,
        discount=0.96,
        random_frames=4000,
        burst_probability=0.05,
        updates_per_step=1 / 3,
    ),
    semore=SemoreConfig(attention_stride=0),
    guide=GuidanceConfig(selective_fraction=0.03),
    learner=AgentConfig(
        trunk="sacae-small",
        hidden_dim=256,
        layer_norm=True,
        centre="picture",
        shift_pixels=4,
        warmup_fraction=0.075,
        target_encoder=False,
        precision="auto",
    ),
    evaluation=EvaluationConfig(every_frames=20_000),
)
"""Small pictures, drawn finely and averaged, decisions at 5 Hz, small networks, 16 environments: sees after ten minutes
on one core (docs/learning.md)."""

FAST = dataclasses.replace(
    LAPTOP, preset="fast", frames=240_000, learner=dataclasses.replace(LAPTOP.learner, warmup_fraction=0.05)
)
"""`laptop`, half as long again, for the least time to a good policy: as many frames of warm-up."""

PRESETS: dict[str, RunConfig] = {"paper": PAPER, "dmr": DMR, "laptop": LAPTOP, "fast": FAST}
"""By the name on the command line."""
