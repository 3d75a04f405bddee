"""What we have spawned on the server, and how it leaves again: sensors first, in one batch."""

from __future__ import annotations

import time
from collections.abc import Iterable

import carla

from semore_fast.envs.carla.asking import asking
from semore_fast.envs.carla.errors import CarlaSetupError, CarlaTimeout
from semore_fast.envs.carla.roads import RoadFrame
from semore_fast.envs.carla.settings import DriveSettings

__all__ = ["Crew"]

_NUDGES_M = (0.0, 1.0, -1.0, 2.0, -2.0, 4.0)
"""Along the road, when a place is taken; the last place is the last chance."""


class Crew:
    """Our actors on one server."""

    def __init__(self, client: carla.Client, world: carla.World, frame: RoadFrame, settings: DriveSettings):
        self._client = client
        self._world = world
        self._frame = frame
        self._settings = settings
        self._actors: dict[int, carla.Actor] = {}
        self.spawn_retries = 0

    def spawn(
        self, blueprint: carla.ActorBlueprint, x_m: float, y_m: float, yaw_rad: float, above_m: float
    ) -> carla.Actor | None:
        """An actor at a place of the road or a little along it; None where all of that is taken.

        Raises:
            CarlaTimeout: no answer; the client itself does not tell that from a taken place.
        """
        times = self._settings.timeouts
        for nudge_m in _NUDGES_M:
            start, limit_s = time.monotonic(), min(times.call_s, times.tick_s)
            place = self._frame.transform(x_m + nudge_m, y_m, yaw_rad, above_m)
            with asking(f"spawn {blueprint.id}", limit_s):
                actor = self._world.try_spawn_actor(blueprint, place)
            if actor is not None:
                self._actors[actor.id] = actor
                return actor
            if time.monotonic() - start >= 0.9 * limit_s:
                raise CarlaTimeout(f"spawn {blueprint.id}: no answer within {limit_s:g} s")
            self.spawn_retries += 1
        return None

    def attach(self, blueprint: carla.ActorBlueprint, mount: carla.Transform, to: carla.Actor) -> carla.Sensor:
        """A sensor that moves with an actor of ours."""
        with asking(f"spawn {blueprint.id}", self._settings.timeouts.call_s):
            sensor = self._world.try_spawn_actor(blueprint, mount, attach_to=to)
        if sensor is None:
            raise CarlaSetupError(f"the server refused {blueprint.id}: see its log")
        self._actors[sensor.id] = sensor
        return sensor

    def dismiss(self, actors: Iterable[carla.Actor]) -> None:
        """Destroy some of our actors, sensors first; those already gone do not matter."""
        leaving = [self._actors.pop(actor.id) for actor in actors if actor.id in self._actors]
        leaving.sort(key=lambda actor: not actor.type_id.startswith("sensor."))
        if not leaving:
            return
        commands = [carla.command.DestroyActor(actor.id) for actor in leaving]
        with asking("destroy our actors", self._settings.timeouts.call_s):
            self._client.apply_batch_sync(commands, False)  # never do_tick: it holds the interpreter while it waits

    def dismiss_all(self) -> bool:
        """Destroy all of our actors; whether there were any."""
        leaving = list(self._actors.values())
        self.dismiss(leaving)
        return bool(leaving)

    def forget(self, actor: carla.Actor) -> None:
        """For one that somebody else has destroyed."""
        self._actors.pop(actor.id, None)

    def forget_all(self) -> None:
        """For a server that does not answer any more."""
        self._actors.clear()

    def sweep(self) -> int:
        """Destroy what a predecessor of the same tag has left, and nothing else; returns how many.

        The world must be in synchronous mode: a new client knows of no actor before its first frame.
        """
        with asking("first tick", self._settings.timeouts.tick_s):
            self._world.tick(self._settings.timeouts.tick_s)
        with asking("list the server's actors", self._settings.timeouts.call_s):
            found = list(self._world.get_actors())
            left = [a for a in found if a.attributes.get("role_name") == self._settings.owner_tag]
        self._actors.update({actor.id: actor for actor in left})
        self.dismiss(left)
        return len(left)
