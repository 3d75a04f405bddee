"""The one learner: soft actor-critic over a representation (eqs 10-12)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from semore.batch import Draws, TensorBatch, repeated
from semore.config import AgentConfig
from semore.critic import make_critic
from semore.mean_picture import MeanPicture
from semore.networks import Actor, PolicySample, mlp
from semore.ops import FrameStore, Ops, as_store
from semore.optimisers import Adam
from semore.representations import Encoded, Inputs, ObservationSpec, Representation, UpdateContext
from semore.temperature import make_temperature

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Scalars = dict[str, Tensor]


class Agent(nn.Module):
    """Acts and learns. One joint objective moves encoder, critic and auxiliary heads; the actor reads detached maps."""

    def __init__(
        self,
        config: AgentConfig,
        spec: ObservationSpec,
        make_representation: Callable[[], Representation],
        ops: Ops,
        device: torch.device,
    ) -> None:
        super().__init__()
        if config.precision == "auto":
            raise ValueError("precision auto is the trainer's to settle; a learner takes float32, tf32 or bfloat16")
        self.config, self.spec, self.ops, self.device = config, spec, ops, device
        self.dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self.representation = make_representation()
        if self.representation.needs_following and self.representation.observation_views > 1:
            raise ValueError("a representation that needs the next observation cannot have several views")
        self.shift_reach = self.representation.shift_reach(config.shift_pixels)
        feature_dim = self.representation.feature_dim
        self.critic = make_critic(config, feature_dim + spec.action_dim)
        self.actor = Actor(
            self.representation.make_heads(),
            mlp(feature_dim, config.hidden_dim, config.hidden_layers, 2 * spec.action_dim, config.layer_norm),
            (config.log_std_min, config.log_std_max),
        )
        self.temperature = make_temperature(config, spec.action_dim)
        self.mean_picture = MeanPicture(spec.image_size) if config.centre == "picture" else None
        self.to(device)
        nn.utils.convert_conv2d_weight_memory_format(self, torch.channels_last)
        self.target_representation = _frozen_copy(self.representation)
        self.target_critic = _frozen_copy(self.critic)
        self.optimisers = self._make_optimisers()
        self._ema = (
            self._pairs(self.representation, self.target_representation),
            self._pairs(self.critic, self.target_critic),
        )

    def _make_optimisers(self) -> dict[str, torch.optim.Adam]:
        rate = self.config.learning_rate
        optimisers = {
            "critic": self._adam([*self.representation.parameters(), *self.critic.parameters()], rate),
            "actor": self._adam(list(self.actor.parameters()), rate),
        }
        temperature = list(self.temperature.parameters())
        if temperature:
            optimisers["temperature"] = self._adam(temperature, self.config.temperature_learning_rate, beta1=0.5)
        return optimisers

    def _adam(self, parameters: list[nn.Parameter], rate: float, beta1: float = 0.9) -> torch.optim.Adam:
        return Adam(parameters, torch.tensor(rate, device=self.device), beta1)

    @staticmethod
    def _pairs(online: nn.Module, target: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        return list(online.parameters()), list(target.parameters())

    @torch.no_grad()
    def act(self, frames: Tensor, noise: Tensor | None) -> Tensor:
        """Chooses actions.

        Args:
            frames: uint8 [N, K, 3, H, W] on the learner's device.
            noise: float32 [N, A] standard normal; None for the deterministic policy (tanh of the mean).

        Returns:
            float32 [N, A] in [-1, 1].
        """
        with self._autocast():
            maps = self.representation.encode(self._prepare(*as_store(frames))).maps
            if noise is None:
                silent = torch.zeros(len(frames), self.spec.action_dim, device=self.device)
                deterministic: PolicySample = self.actor(maps, silent)
                return deterministic.mean
            sampled: PolicySample = self.actor(maps, noise)
            return sampled.action

    @torch.no_grad()
    def attention(self, frames: Tensor) -> Tensor | None:
        """Where the representation looks, [N, h, w], or None."""
        with self._autocast():
            return self.representation.attention(self._prepare(*as_store(frames)))

    def draw(self, batch_size: int, generator: torch.Generator) -> Draws:
        """Draws one update's random numbers on the CPU and moves them to the learner's device, not waiting for it."""
        views, boots = self.representation.observation_views, self.representation.bootstrap_views
        actions, reach = self.spec.action_dim, self.shift_reach

        def moved(x: Tensor) -> Tensor:
            return x.to(self.device, non_blocking=True)

        def shift(count: int) -> Tensor:
            return moved(torch.randint(-reach, reach + 1, (count, batch_size, 2), generator=generator))

        def normal(*shape: int) -> Tensor:
            return moved(torch.randn(*shape, generator=generator))

        return Draws(
            observation_shift=shift(views),
            bootstrap_shift=shift(boots),
            bootstrap_noise=normal(boots, batch_size, actions),
            actor_noise=normal(batch_size * views, actions),
            extra_shift=shift(self.representation.extra_views),
        )

    def update(self, batch: TensorBatch, draws: Draws, train_actor: bool, move_targets: bool) -> Scalars:
        """One gradient step on the joint objective, then actor and targets where due.

        No host synchronisation happens inside.

        Returns:
            Detached scalars by name.
        """
        self._observe(batch)
        observation, losses, figures = self._critic_objective(batch, draws)
        metrics = self._descend("critic", losses) | figures
        if train_actor:
            metrics |= self._update_actor(observation, draws)
        if move_targets:
            self._move_targets()
        self.representation.after_update()
        return metrics

    def compile_objectives(self) -> None:
        """From now on what an update minimises is compiled by torch.compile; encoding to act stays eager.

        Results are eager ones but for rounding: what is fused keeps more digits in between.
        """
        self._critic_objective = torch.compile(self._critic_objective, dynamic=False)  # type: ignore[method-assign]
        self._actor_objective = torch.compile(self._actor_objective, dynamic=False)  # type: ignore[method-assign]

    def _observe(self, batch: TensorBatch) -> None:
        if self.mean_picture is not None:
            self.mean_picture.observe(batch.store.frames.index_select(0, batch.slots[:, self.spec.stack - 1]))

    def _context(
        self, batch: TensorBatch, draws: Draws, observation: Encoded, following: Encoded | None
    ) -> UpdateContext:
        return UpdateContext(
            batch=repeated(batch, self.representation.observation_views),
            draws=draws,
            observation=observation,
            following=following,
            target=self.target_representation,
            extra_views=self._extra_views(batch, draws),
        )

    def _views(self, batch: TensorBatch, draws: Draws) -> Inputs:
        """The observation under each view's shift, views stacked along the batch."""
        views = len(draws.observation_shift)
        slots = batch.slots[:, : self.spec.stack].repeat(views, 1)
        return self._prepare(batch.store, slots, draws.observation_shift.flatten(0, 1), batch.has_mask.repeat(views))

    def _extra_views(self, batch: TensorBatch, draws: Draws) -> tuple[Inputs, ...]:
        slots = batch.slots[:, : self.spec.stack]
        return tuple(self._prepare(batch.store, slots, shift) for shift in draws.extra_shift)

    def _prepare(
        self, store: FrameStore, slots: Tensor, shift: Tensor | None = None, has_mask: Tensor | None = None
    ) -> Inputs:
        """Inputs; without guidance for all but the observation, since targets value what the acting policy will see."""
        if self.mean_picture is not None:
            store = dataclasses.replace(store, centre=self.mean_picture.picture)
        shift_or_none = shift if self.shift_reach else None
        return self.representation.prepare(store, slots, self.dtype, shift_or_none, has_mask)

    @torch.no_grad()
    def _bootstrap(self, batch: TensorBatch, draws: Draws, follow: bool) -> tuple[Tensor, Encoded | None]:
        """The critic's target [B], averaged over views, and the next observation's encoding where it is wanted.

        All of it is encoded at once. With one-step returns the next observation is the bootstrap observation, so
        its encoding (and its shift) is shared; with longer ones it comes last, under the observation's own shift.
        """
        stack, n_step = self.spec.stack, self.spec.n_step
        slots = batch.slots[:, n_step : n_step + stack].repeat(len(draws.bootstrap_shift), 1)
        shift, bootstrapped = draws.bootstrap_shift.flatten(0, 1), slice(len(slots))
        if follow and n_step > 1:
            slots = torch.cat((slots, batch.slots[:, 1 : stack + 1]))
            shift = torch.cat((shift, draws.observation_shift[0]))
        inputs = self._prepare(batch.store, slots, shift)
        encoded = self.representation.encode(inputs)
        online = slow = encoded.rows(bootstrapped)
        if self.config.target_encoder:
            slow = self.target_representation.encode(inputs.rows(bootstrapped))
        sample = self.actor(online.maps, draws.bootstrap_noise.flatten(0, 1))
        value = self.target_critic(slow.feature, sample.action).amin(0) - self.temperature.value() * sample.log_prob
        value = value.unflatten(0, (-1, len(batch.slots))).mean(0)
        following = encoded.rows(slice(-len(batch.slots), None)) if follow else None
        return batch.nstep_return + batch.bootstrap_discount * value, following

    def _critic_objective(self, batch: TensorBatch, draws: Draws) -> tuple[Encoded, Scalars, Scalars]:
        """The observation's encoding, the losses of eq 12 by name, and figures to log."""
        with self._autocast():
            observation = self.representation.encode(self._views(batch, draws), self.target_representation)
            target, following = self._bootstrap(batch, draws, self.representation.needs_following)
        losses, figures = self._critic_losses(self._context(batch, draws, observation, following), target)
        return observation, losses, figures

    def _critic_losses(self, context: UpdateContext, target: Tensor) -> tuple[Scalars, Scalars]:
        target = self._with_intrinsic(context, target)
        with self._autocast():
            outputs = self.critic.outputs(context.observation.feature, context.batch.action)
            losses = {"critic": self.critic.loss(outputs, target)} | self.representation.auxiliary_losses(context)
        return losses, self._q_figures(outputs, target)

    def _with_intrinsic(self, context: UpdateContext, target: Tensor) -> Tensor:
        """The target [B] for every view [views B], with what the representation adds to the reward."""
        target = target.repeat(self.representation.observation_views)
        intrinsic = self.representation.intrinsic_reward(context)
        return target if intrinsic is None else target + intrinsic

    def _q_figures(self, outputs: Tensor, target: Tensor) -> Scalars:
        return {"q/mean": self.critic.values(outputs.detach()).mean(), "q/target": target.mean()}

    def _descend(self, optimiser: str, losses: Scalars) -> Scalars:
        """Steps one optimiser on the sum of the losses."""
        self._step(optimiser, torch.stack(list(losses.values())).sum())
        return {f"loss/{name}": loss.detach() for name, loss in losses.items()}

    def _update_actor(self, observation: Encoded, draws: Draws) -> Scalars:
        """Eq 11 on the shared, detached features; then the temperature."""
        maps = tuple(m.detach() for m in observation.maps)
        loss, log_prob = self._actor_objective(maps, observation.feature.detach(), draws.actor_noise)
        self._step("actor", loss)
        metrics = {
            "loss/actor": loss.detach(),
            "policy/entropy": -log_prob.mean(),
            "policy/temperature": self.temperature.value(),
        }
        if "temperature" in self.optimisers:
            self._step("temperature", self.temperature.loss(log_prob))
        return metrics

    def _actor_objective(self, maps: tuple[Tensor, ...], feature: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The actor's loss, and the log-probabilities [B] of what it would do, without gradient."""
        with self._autocast():  # a context of its own: an older one would remember the critic before its step
            sample = self.actor(maps, noise)
            q = self.critic(feature, sample.action).amin(0)
            loss = (self.temperature.value() * sample.log_prob - q).mean()
        return loss, sample.log_prob.detach()

    def _step(self, optimiser: str, loss: Tensor) -> None:
        """Steps one optimiser with gradients for its own parameters alone; a loss need not reach all of them."""
        owned = self.optimisers[optimiser].param_groups[0]["params"]
        for parameter, gradient in zip(owned, torch.autograd.grad(loss, owned, allow_unused=True), strict=True):
            parameter.grad = gradient
        self.optimisers[optimiser].step()

    @torch.no_grad()
    def _move_targets(self) -> None:
        for (online, target), tau in zip(self._ema, (self.config.encoder_tau, self.config.critic_tau), strict=True):
            torch._foreach_lerp_(target, online, tau)

    def set_progress(self, fraction: float) -> None:
        """Sets the learning rates for a run that is `fraction` in [0, 1] done."""
        scale = 1 + fraction * (self.config.final_learning_rate_fraction - 1)
        if fraction < self.config.warmup_fraction:
            scale *= fraction / self.config.warmup_fraction
        for name, optimiser in self.optimisers.items():
            if name != "temperature":
                for group in optimiser.param_groups:
                    group["lr"].fill_(self.config.learning_rate * scale)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def _frozen_copy(module: ModuleT) -> ModuleT:
    """A copy that no optimiser owns."""
    return copy.deepcopy(module).requires_grad_(False)
