"""One episode's people and vehicles on the server: placed by the director, and told what it orders."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np
from numpy.typing import NDArray

from semore_fast import _C
from semore_fast.envs.carla.actors import Crew
from semore_fast.envs.carla.blueprints import Wardrobe
from semore_fast.envs.carla.measure import Member
from semore_fast.envs.carla.roads import Motion, RoadFrame
from semore_fast.envs.carla.traffic import Traffic, light_state

__all__ = ["Cast"]

_WALKER_ABOVE_M, _VEHICLE_ABOVE_M = 1.0, 0.2
"""Height of the place over the road: a walker's origin is its middle, a vehicle falls onto its wheels."""
_END_M = 10.0
"""Nobody is placed this close to the end of the road."""

_CYCLIST = _C.VEHICLE_KINDS.index("cyclist")
_WALK, _STOP, _FRESH = 1, 2, 3


def _class_of(kind: str) -> int:
    return _C.CLASS_IDS[{"cyclist": "bicycle", "truck": "truck"}.get(kind, "car")]


class Cast:
    """Everybody but the ego. Slots are the director's."""

    def __init__(
        self,
        director: _C.Director,
        crew: Crew,
        wardrobe: Wardrobe,
        frame: RoadFrame,
        traffic: Traffic | None,
    ):
        self._director = director
        self._crew = crew
        self._wardrobe = wardrobe
        self._frame = frame
        self._traffic = traffic
        self._rows = director.vehicles()
        self.walkers = [self._new_walker(slot, row) for slot, row in enumerate(director.walkers())]
        self.vehicles = [self._new_vehicle(slot, row) for slot, row in enumerate(self._rows)]

    @property
    def members(self) -> list[Member]:
        """Walkers, then vehicles."""
        return self.walkers + self.vehicles

    @property
    def absent(self) -> int:
        """Slots for which there was no place."""
        return sum(member.actor is None for member in self.members)

    def by_actor(self) -> dict[int, Member]:
        """Members by their actors' numbers."""
        return {member.actor.id: member for member in self.members if member.actor is not None}

    def start_traffic(self, seed: int) -> None:
        """Set vehicles going at their speed and hand them to the Traffic Manager."""
        if self._traffic is None:
            return
        self._traffic.seed(seed)
        for member, row in zip(self.vehicles, self._rows, strict=True):
            if member.actor is not None:
                self._push(member.actor, row)
                self._traffic.drive(member.actor, row)

    def look(self, snapshot: carla.WorldSnapshot) -> None:
        """Where everybody is now."""
        for member in self.members:
            member.look(snapshot, self._frame)

    def direct(self, ego_x_m: float) -> list[Any]:
        """Ask the director, act on what takes effect at once, and return the commands for the tick."""
        walker_orders, vehicle_orders = self._director.advance(
            ego_x_m=ego_x_m, walkers=self._seen(self.walkers, ego_x_m), vehicles=self._seen(self.vehicles, ego_x_m)
        )
        commands: list[Any] = []
        for slot in np.flatnonzero(walker_orders["order"]):
            commands += self._direct_walker(int(slot), walker_orders[slot])
        for slot in np.flatnonzero(vehicle_orders["moved"] | vehicle_orders["swerved"]):
            self._direct_vehicle(int(slot), vehicle_orders[slot])
        return commands

    def note_hit(self, actor_id: int, frame: int) -> bool:
        """A collision of the ego with an actor: whether the contact began with it."""
        member = self.by_actor().get(actor_id)
        if member is None:
            return False
        person = member.class_id in (_C.CLASS_IDS["pedestrian"], _C.CLASS_IDS["bicycle"])
        began = not member.struck if person else frame - member.last_hit > 1
        member.last_hit = frame
        if person and not member.struck:
            member.struck = True
            if self._traffic is not None and member in self.vehicles:
                self._traffic.release(member.actor)
        return began

    def _seen(self, members: list[Member], ego_x_m: float) -> NDArray[np.void]:
        rows = np.zeros(len(members), _C.SEEN_DTYPE)
        for row, member in zip(rows, members, strict=True):
            row["x_m"], row["y_m"] = member.motion.x_m, member.motion.y_m
            row["status"] = member.status(ego_x_m)
        return rows

    def _direct_walker(self, slot: int, order: np.void) -> list[Any]:
        if order["order"] == _FRESH:
            self._dismiss(self.walkers[slot])
            self.walkers[slot] = self._new_walker(slot, order["place"])
            return []
        member, place = self.walkers[slot], order["place"]
        if member.actor is None:
            return []
        if order["order"] == _WALK:
            return [self._walk(member, member.actor, float(order["speed_y_mps"]))]
        assert order["order"] == _STOP
        # Put there, not walked there: so it stands exactly where the scenario's people stand, and does not overshoot.
        there = self._frame.transform(float(place["x_m"]), float(place["y_m"]), float(place["yaw_rad"]))
        there.location.z = member.actor.get_transform().location.z
        return [carla.command.ApplyTransform(member.actor.id, there), self._walk(member, member.actor, 0.0)]

    def _walk(self, member: Member, actor: carla.Actor, speed_y_mps: float) -> Any:
        across = self._frame.vector(member.motion.x_m, 0.0, -1.0 if speed_y_mps < 0 else 1.0)
        return carla.command.ApplyWalkerControl(actor.id, carla.WalkerControl(across, abs(speed_y_mps), False))

    def _direct_vehicle(self, slot: int, order: np.void) -> None:
        member, place = self.vehicles[slot], order["place"]
        if order["moved"]:
            if not self._on_road(place):
                return
            if member.actor is None or member.struck or not member.present:
                self._dismiss(member)
                member = self.vehicles[slot] = self._new_vehicle(slot, place)
            else:
                self._move(member, member.actor, place)
            if member.actor is not None:
                self._push(member.actor, place)
                if self._traffic is not None:
                    self._traffic.drive(member.actor, place)
        elif member.actor is not None and self._traffic is not None:
            self._traffic.place_in_lane(member.actor, place)

    def _move(self, member: Member, actor: carla.Actor, place: np.void) -> None:
        there = self._frame.transform(float(place["x_m"]), float(place["y_m"]), _yaw(place), _VEHICLE_ABOVE_M)
        actor.set_transform(there)
        member.motion = _at_rest(place)

    def _push(self, actor: carla.Actor, row: np.void) -> None:
        along = float(row["speed_mps"]) * float(row["direction"])
        actor.set_target_velocity(self._frame.vector(float(row["x_m"]), along, 0.0))

    def _new_walker(self, slot: int, row: np.void) -> Member:
        member = Member(1 + slot, _C.CLASS_IDS["pedestrian"], 0.0, 0.0, _at_rest(row))
        return self._embody(member, self._wardrobe.walker(row), row, float(row["yaw_rad"]), _WALKER_ABOVE_M)

    def _new_vehicle(self, slot: int, row: np.void) -> Member:
        kind = _C.VEHICLE_KINDS[int(row["kind"])]
        member = Member(_C.FIRST_VEHICLE_ID + slot, _class_of(kind), 0.0, 0.0, _at_rest(row))
        self._embody(member, self._wardrobe.vehicle(row), row, _yaw(row), _VEHICLE_ABOVE_M)
        if member.actor is not None and row["lights"]:
            member.actor.set_light_state(light_state(int(row["lights"])))
        return member

    def _embody(
        self, member: Member, blueprint: carla.ActorBlueprint, row: np.void, yaw_rad: float, above_m: float
    ) -> Member:
        if self._on_road(row):
            member.actor = self._crew.spawn(blueprint, float(row["x_m"]), float(row["y_m"]), yaw_rad, above_m)
        if member.actor is not None:
            half = member.actor.bounding_box.extent
            member.length_m, member.width_m = 2 * half.x, 2 * half.y
        return member

    def _dismiss(self, member: Member) -> None:
        if member.actor is not None:
            if self._traffic is not None:
                self._traffic.release(member.actor)
            self._crew.dismiss([member.actor])
            member.actor = None

    def _on_road(self, row: np.void) -> bool:
        return bool(row["x_m"] < self._frame.length_m - _END_M)


def _yaw(row: np.void) -> float:
    return 0.0 if row["direction"] > 0 else float(np.pi)


def _at_rest(row: np.void) -> Motion:
    return Motion(float(row["x_m"]), float(row["y_m"]), 0.0, 0.0, 0.0)
