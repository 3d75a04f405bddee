"""The order of published agents, to compare with: each loss encodes the observation anew and takes its own step.

    python bench/published_order.py --scenario jw --preset fast ...    trains so; takes train's flags

DeepMDP's and SAC-AE's public code, written anew: critic's step, actor and temperature, auxiliary losses with
their own Adam over the encoder, targets; the actor's step encodes twice (for the policy and for the critic); Adam and
moving averages as torch has them by default. Networks, losses, draws, inputs, operations and precision are ours, so
that only the order differs; pictures are prepared once an update. `bench/bench_update.py` times it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn

import semore.agents
from semore.agents import Agent
from semore.batch import Draws, TensorBatch
from semore.representations import Encoded, Representation, UpdateContext


class PublishedOrder(Agent):
    """Learns the same as `Agent`, one loss after the other."""

    def _make_optimisers(self) -> dict[str, torch.optim.Adam]:
        optimisers = super()._make_optimisers()
        if type(self.representation).auxiliary_losses is not Representation.auxiliary_losses:
            parameters = list(self.representation.parameters())
            optimisers["auxiliary"] = self._adam(parameters, self.config.learning_rate)
        return optimisers

    def _adam(self, parameters: list[nn.Parameter], rate: float, beta1: float = 0.9) -> torch.optim.Adam:
        lr = torch.tensor(rate, device=self.device)
        return torch.optim.Adam(parameters, lr=lr, betas=(beta1, 0.999), capturable=self.device.type == "cuda")

    def update(self, batch: TensorBatch, draws: Draws, train_actor: bool, move_targets: bool) -> dict[str, Tensor]:
        """As `Agent.update`, in the published order."""
        self._observe(batch)
        inputs = self._views(batch, draws)

        def encode() -> Encoded:
            with self._autocast():
                return self.representation.encode(inputs, self.target_representation)

        with self._autocast(), torch.no_grad():
            target, _ = self._bootstrap(batch, draws, follow=False)
        metrics = self._update_value(self._context(batch, draws, encode(), None), target)
        if train_actor:
            with torch.no_grad():
                encoded = Encoded(maps=encode().maps, feature=encode().feature)
            metrics |= self._update_actor(encoded, draws)
        if "auxiliary" in self.optimisers:
            metrics |= self._update_auxiliary(batch, draws, encode())
        if move_targets:
            self._move_targets()
        self.representation.after_update()
        return metrics

    def _update_value(self, context: UpdateContext, target: Tensor) -> dict[str, Tensor]:
        target = self._with_intrinsic(context, target)
        with self._autocast():
            outputs = self.critic.outputs(context.observation.feature, context.batch.action)
            loss = self.critic.loss(outputs, target)
        return self._descend("critic", {"critic": loss}) | self._q_figures(outputs, target)

    def _update_auxiliary(self, batch: TensorBatch, draws: Draws, observation: Encoded) -> dict[str, Tensor]:
        following = None
        with self._autocast():
            if self.representation.needs_following:
                shift = draws.bootstrap_shift if self.spec.n_step == 1 else draws.observation_shift
                with torch.no_grad():
                    inputs = self._prepare(batch.store, batch.slots[:, 1 : self.spec.stack + 1], shift[-1])
                    following = self.representation.encode(inputs)
            losses = self.representation.auxiliary_losses(self._context(batch, draws, observation, following))
        return self._descend("auxiliary", losses)

    @torch.no_grad()
    def _move_targets(self) -> None:
        for (online, target), tau in zip(self._ema, (self.config.encoder_tau, self.config.critic_tau), strict=True):
            for mine, slow in zip(online, target, strict=True):
                slow.copy_(tau * mine + (1 - tau) * slow)


@contextmanager
def published_order() -> Iterator[None]:
    """Every learner made meanwhile is a `PublishedOrder`."""
    with patch.object(semore.agents, "Agent", PublishedOrder):
        yield


if __name__ == "__main__":
    from semore_fast.errors import run_cli
    from semore_fast.train import main

    with published_order():
        sys.exit(run_cli(lambda: main(sys.argv[1:])))
