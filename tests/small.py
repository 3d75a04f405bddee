"""Small learners and batches: the one way the tests of the method build them."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from semore.agents import Agent, make_agent
from semore.batch import Draws, TensorBatch
from semore.config import AgentConfig, SemoreConfig
from semore.networks import TRUNKS
from semore.ops import REFERENCE, FrameStore, Ops
from semore.representations import (
    EncoderConfig,
    Inputs,
    ObservationSpec,
    Representation,
    SemoreRepresentation,
)

IMAGE = 36
BATCH = 4


def small_spec(**changes: Any) -> ObservationSpec:
    """36 px, three frames, two actions."""
    return replace(ObservationSpec(image_size=IMAGE), **changes)


def small_config(**changes: Any) -> AgentConfig:
    """The default learner with narrow layers."""
    base = AgentConfig(trunk="sacae-small", feature_dim=8, hidden_dim=32, target_every=1)
    return replace(base, **changes)


def small_agent(
    name: str = "semore",
    spec: ObservationSpec | None = None,
    semore: SemoreConfig | None = None,
    ops: Ops = REFERENCE,
    device: torch.device | str = "cpu",
    **changes: Any,
) -> Agent:
    """A learner by its method's name, seeded alike each time, its interaction at work."""
    torch.manual_seed(1)
    agent = make_agent(name, small_config(**changes), spec or small_spec(), ops, device, semore)
    open_exchange(agent.representation)
    agent.target_representation.load_state_dict(agent.representation.state_dict())
    return agent


def open_exchange(representation: Representation) -> None:
    """Lets the interaction add something from the start, as it does after training."""
    exchange = getattr(representation, "exchange", None)
    if exchange is not None:
        exchange.to_semantic.reset_parameters()
        exchange.to_motion.reset_parameters()


def encoder_config(config: AgentConfig | None = None) -> EncoderConfig:
    """The encoder settings of a learner's config."""
    config = config or small_config()
    return EncoderConfig(trunk=TRUNKS[config.trunk], feature_dim=config.feature_dim, input_offset=config.input_offset)


def small_batch(spec: ObservationSpec | None = None, size: int = BATCH, seed: int = 2, **changes: Any) -> TensorBatch:
    """Random frames with correlated neighbours, a block mask on every other sample (the others' bytes say nothing)."""
    spec = spec or small_spec()
    g = torch.Generator().manual_seed(seed)
    side, count = spec.image_size, spec.stack + spec.n_step
    still = torch.randint(0, 256, (size, 1, 3, side, side), generator=g)
    moving = torch.randint(0, 256, (size, count, 3, side, side), generator=g)
    mask = torch.full((size, side, side), 99, dtype=torch.uint8)
    mask[::2] = 0
    mask[::2, side // 4 : -side // 4, side // 4 : -side // 4] = 200
    store, slots = stored(((3 * still + moving) // 4).to(torch.uint8), mask, spec.stack)
    batch = TensorBatch(
        store=store,
        slots=slots,
        has_mask=torch.arange(size) % 2 == 0,
        action=torch.rand(size, spec.action_dim, generator=g) * 2 - 1,
        reward=torch.randn(size, generator=g),
        nstep_return=torch.randn(size, generator=g),
        bootstrap_discount=torch.full((size,), 0.99**spec.n_step),
    )
    return replace(batch, **changes)


def moved(batch: TensorBatch, device: torch.device) -> TensorBatch:
    """The batch on a device."""
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    masks = None if batch.store.masks is None else batch.store.masks.to(device)
    store = FrameStore(batch.store.frames.to(device), masks)
    return replace(batch, **{name: x.to(device) for name, x in values.items() if name != "store"}, store=store)


def stored(frames: Tensor, masks: Tensor, stack: int) -> tuple[FrameStore, Tensor]:
    """Windows [B, N, 3, H, W] and the masks [B, H, W] of their observations, strewn over a store of other things."""
    g = torch.Generator().manual_seed(0)
    batch, count, _, height, width = frames.shape
    size = batch * count + 5
    slots = torch.randperm(size, generator=g)[: batch * count].view(batch, count)
    ring = torch.randint(0, 256, (size, 3, height, width), dtype=torch.uint8, generator=g)
    beside = torch.randint(0, 256, (size, height, width), dtype=torch.uint8, generator=g)
    ring[slots] = frames
    beside[slots[:, stack - 1]] = masks
    return FrameStore(ring, beside), slots


def windows(batch: TensorBatch, first: int = 0, stack: int = 3) -> Tensor:
    """Stacks [B, K, 3, H, W], from the window's frame `first` on."""
    return batch.store.frames[batch.slots[:, first : first + stack]]


def draws(agent: Agent, size: int = BATCH, seed: int = 3) -> Draws:
    """One update's random numbers."""
    return agent.draw(size, torch.Generator().manual_seed(seed))


def build(semore: SemoreConfig | None = None, **spec_changes: Any) -> SemoreRepresentation:
    """Semore's representation alone, seeded alike each time, its interaction at work."""
    torch.manual_seed(1)
    spec = small_spec(**spec_changes)
    representation = SemoreRepresentation(encoder_config(), spec, REFERENCE, semore or SemoreConfig())
    open_exchange(representation)
    return representation


def prepared(
    representation: Representation, batch: TensorBatch | None = None, frames_from: int = 0, guided: bool = True
) -> Inputs:
    """What the streams eat of a batch, with or without its masks."""
    batch = batch or small_batch()
    slots = batch.slots[:, frames_from : frames_from + representation.spec.stack]
    return representation.prepare(batch.store, slots, torch.float32, has_mask=batch.has_mask if guided else None)


def changed(batch: TensorBatch, index: int, value: int | None = None, stack: int = 3) -> TensorBatch:
    """The batch with other bytes for one sample's mask: all of one value, or random."""
    assert batch.store.masks is not None
    masks = batch.store.masks.clone()
    shape, slot = masks.shape[1:], batch.slots[index, stack - 1]
    masks[slot] = torch.randint(0, 256, shape, dtype=torch.uint8) if value is None else torch.tensor(value)
    return replace(batch, store=FrameStore(batch.store.frames, masks))


def update(
    agent: Agent, batch: TensorBatch | None = None, seed: int = 3, actor: bool = True, targets: bool = True
) -> dict[str, Tensor]:
    """One update on a small batch."""
    return agent.update(batch or small_batch(agent.spec), draws(agent, seed=seed), actor, targets)
