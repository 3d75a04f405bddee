"""The configurations that runs start from. Imports nothing heavy: the command line reads them."""

from __future__ import annotations

from semore.config import AgentConfig, SemoreConfig
from semore_fast.config import EnvConfig, GuidanceConfig, ReplayConfig, RunConfig

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
    sampling=ReplayConfig(batch_size=64, n_step=3, discount=0.96),
    semore=SemoreConfig(attention_stride=2),
    guide=GuidanceConfig(selective_fraction=0.02),
    learner=AgentConfig(
        trunk="sacae-small",
        hidden_dim=256,
        layer_norm=True,
        shift_pixels=4,
        warmup_fraction=0.05,
        target_encoder=False,
        precision="bfloat16",
    ),
)
"""Small pictures, decisions at 5 Hz, small networks: learns on two cores (docs/learning.md)."""

PRESETS: dict[str, RunConfig] = {"paper": PAPER, "dmr": DMR, "laptop": LAPTOP}
