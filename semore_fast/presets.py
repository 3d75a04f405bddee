"""The configurations that runs start from. Imports nothing heavy: the command line reads them."""

from __future__ import annotations

import dataclasses

from semore.config import AgentConfig, SemoreConfig
from semore_fast.config import EnvConfig, EvaluationConfig, GuidanceConfig, ReplayConfig, RunConfig

PAPER = RunConfig()
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
    frames=60_000,
    checkpoint_every_frames=10_000,
    env=EnvConfig(image_size=64, supersample=2, action_repeat=4),
    sampling=ReplayConfig(batch_size=64, n_step=3, discount=0.96, burst_probability=0.05, updates_per_step=1 / 3),
    semore=SemoreConfig(attention_stride=2),
    guide=GuidanceConfig(selective_fraction=0.02),
    learner=AgentConfig(
        trunk="sacae-small",
        hidden_dim=256,
        layer_norm=True,
        centre="picture",
        shift_pixels=4,
        warmup_fraction=0.1,
        target_encoder=False,
        precision="bfloat16",
    ),
)
"""Small pictures, decisions at 5 Hz, small networks: learns on two cores (docs/learning.md)."""

FAST = dataclasses.replace(
    LAPTOP,
    preset="fast",
    frames=240_000,
    checkpoint_every_frames=40_000,
    envs=16,
    env=EnvConfig(image_size=32, supersample=4, action_repeat=4),
    sampling=dataclasses.replace(LAPTOP.sampling, random_frames=4000),
    semore=SemoreConfig(attention_stride=0),
    guide=GuidanceConfig(selective_fraction=0.03),
    learner=dataclasses.replace(LAPTOP.learner, warmup_fraction=0.05),
    evaluation=EvaluationConfig(every_frames=20_000),
)
"""The least time to a policy that sees: a quarter of `laptop`'s pixels, drawn finely and averaged, from many
environments (docs/learning.md)."""

PRESETS: dict[str, RunConfig] = {"paper": PAPER, "dmr": DMR, "laptop": LAPTOP, "fast": FAST}
"""By the name on the command line."""
