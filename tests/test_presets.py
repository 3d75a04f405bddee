"""What runs start from: each a configuration that can be run, saved and read again."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from semore.config import METHOD_SUMMARIES
from semore.ops import REFERENCE
from semore_fast.building import build_agent
from semore_fast.config import from_dict, to_dict
from semore_fast.config_checks import check
from semore_fast.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_can_be_run_saved_and_read(name: str) -> None:
    config = PRESETS[name]
    assert config.preset == name
    check(config)
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("method", METHOD_SUMMARIES)
def test_every_method_fits_the_smallest_pictures(method: str) -> None:
    """Crops and margins included: `laptop` has 32 pixels."""
    config = dataclasses.replace(PRESETS["laptop"], agent=method)  # type: ignore[arg-type]
    agent = build_agent(config, torch.device("cpu"), REFERENCE)
    frames = torch.randint(0, 256, (2, 3, 3, config.env.image_size, config.env.image_size), dtype=torch.uint8)
    assert agent.act(frames, None).shape == (2, 2)


def test_the_paper_s_protocol_has_none_of_the_later_additions() -> None:
    """Neither what centres inputs, nor bursts, nor a histogram: they are not the paper's."""
    for name in ("paper", "dmr"):
        config = PRESETS[name]
        assert (config.learner.centre, config.learner.critic_bins) == ("constant", 0)
        assert config.sampling.burst_probability == 0
        assert config.env.action_repeat == 1
