"""The remote calls about actors, by CARLA's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semore_fast.carla_server import wire
from semore_fast.carla_server.actors import Actor
from semore_fast.carla_server.physics import physics_control
from semore_fast.carla_server.rpc import Methods
from semore_fast.carla_server.values import RefusedError, answer, failed, pose_of, vector_of

if TYPE_CHECKING:
    from semore_fast.carla_server.server import Server

ACTOR_METHODS = Methods()


def _packed(server: Server, actor: Actor) -> list[Any]:
    return actor.packed(server.version, server.streams.port)


def _body(server: Server, number: int) -> Actor:
    actor = server.episode.actor(number)
    if not actor.world_id:
        raise RefusedError(f"actor {number} ({actor.blueprint.name}) has no body")
    return actor


@ACTOR_METHODS.value()
def get_spectator(server: Server) -> list[Any]:
    return _packed(server, server.episode.spectator)


@ACTOR_METHODS.value()
def get_actors_by_id(server: Server, numbers: list[int]) -> list[Any]:
    found = [server.episode.actors.get(number) for number in numbers]
    return [_packed(server, actor) for actor in found if actor is not None]


@ACTOR_METHODS.value()
def spawn_actor(server: Server, description: list[Any], transform: Any) -> list[Any]:
    return _packed(server, server.episode.spawn(description, pose_of(transform)))


@ACTOR_METHODS.value()
def spawn_actor_with_parent(
    server: Server, description: list[Any], transform: Any, parent: int, attach: int = 0, socket: str = ""
) -> list[Any]:
    episode = server.episode
    return _packed(server, episode.spawn(description, pose_of(transform), episode.actor(parent)))


@ACTOR_METHODS.value()
def destroy_actor(server: Server, number: int) -> bool:
    server.episode.destroy(server.episode.actor(number))
    return True


@ACTOR_METHODS.value()
def get_actor_bounding_box(server: Server, number: int) -> list[Any]:
    return server.episode.actor(number).bounding_box(server.version)


@ACTOR_METHODS.done()
def set_actor_transform(server: Server, number: int, transform: Any) -> None:
    server.episode.move(server.episode.actor(number), pose_of(transform))


@ACTOR_METHODS.done()
def set_actor_location(server: Server, number: int, location: Any) -> None:
    actor = server.episode.actor(number)
    server.episode.move(actor, (*vector_of(location), *server.episode.pose_of(actor)[3:]))


@ACTOR_METHODS.done()
def set_actor_target_velocity(server: Server, number: int, velocity: Any) -> None:
    server.episode.stage.push(_body(server, number), vector_of(velocity))


@ACTOR_METHODS.done()
def set_actor_target_angular_velocity(server: Server, number: int, velocity: Any) -> None:
    _body(server, number)


@ACTOR_METHODS.done()
def set_actor_simulate_physics(server: Server, number: int, on: bool) -> None:
    server.episode.actor(number)


@ACTOR_METHODS.done()
def set_actor_collisions(server: Server, number: int, on: bool) -> None:
    server.episode.actor(number)


@ACTOR_METHODS.done()
def set_actor_enable_gravity(server: Server, number: int, on: bool) -> None:
    server.episode.actor(number)


@ACTOR_METHODS.done()
def set_actor_dead(server: Server, number: int) -> None:
    server.episode.actor(number)


@ACTOR_METHODS.done()
def set_actor_autopilot(server: Server, number: int, on: bool) -> None:
    """Driving is the client's Traffic Manager's business: its controls arrive as a batch."""
    _body(server, number)


@ACTOR_METHODS.done()
def apply_control_to_vehicle(server: Server, number: int, control: list[Any]) -> None:
    actor = _body(server, number)
    throttle, steer, brake, hand_brake, reverse, manual, gear = control
    actor.control = (throttle, steer, brake, hand_brake, reverse, manual, gear)
    actor.typed = wire.vehicle_part(actor.control, server.episode.stage.map.limit_kmh)
    server.episode.snapshot.changed.add(actor)
    server.episode.stage.drive(actor)


@ACTOR_METHODS.done()
def apply_control_to_walker(server: Server, number: int, control: list[Any]) -> None:
    actor = _body(server, number)
    direction, speed, jump = control
    actor.walk = (vector_of(direction), float(speed), bool(jump))
    actor.typed = wire.walker_part(*actor.walk)
    server.episode.snapshot.changed.add(actor)
    server.episode.stage.walk(actor)


@ACTOR_METHODS.value()
def get_vehicle_light_state(server: Server, number: int) -> list[int]:
    return [server.episode.actor(number).light_bits]


@ACTOR_METHODS.done()
def set_vehicle_light_state(server: Server, number: int, state: list[int] | int) -> None:
    actor = _body(server, number)
    actor.light_bits = state if isinstance(state, int) else int(state[0])
    server.episode.stage.light(actor)


@ACTOR_METHODS.value()
def get_vehicle_light_states(server: Server) -> list[Any]:
    return [[actor.id, actor.light_bits] for actor in server.episode.vehicles()]


@ACTOR_METHODS.value()
def get_physics_control(server: Server, number: int) -> list[Any]:
    return physics_control(_body(server, number))


@ACTOR_METHODS.done()
def apply_physics_control(server: Server, number: int, control: list[Any]) -> None:
    """Kept for the next question; the embedded simulator's cars stay as they are."""
    _body(server, number).physics = control


@ACTOR_METHODS.done()
def open_vehicle_door(server: Server, number: int, door: int) -> None:
    _body(server, number)


@ACTOR_METHODS.done()
def close_vehicle_door(server: Server, number: int, door: int) -> None:
    _body(server, number)


@ACTOR_METHODS.plain()
def apply_batch(server: Server, commands: list[Any], do_tick: bool = False) -> list[Any]:
    answers = [run_command(server, index, fields) for ((index, fields),) in commands]
    if do_tick:
        server.tick_cue()
    return answers


def run_command(server: Server, index: int, fields: list[Any], new_actor: int = 0) -> list[Any]:
    """One command of a batch; one that follows a spawn has 0 for the number of its actor."""
    names = server.version.commands
    name = names[index] if index < len(names) else f"number {index}"
    try:
        if name == "spawn":
            return answer(_spawn(server, fields))
        number, *arguments = fields
        number = number or new_actor
        _COMMANDS[name](server, number, *arguments)
    except RefusedError as refusal:
        return failed(str(refusal))
    except KeyError:
        return failed(f"this server has no batch command {name}")
    return answer(number)


def _spawn(server: Server, fields: list[Any]) -> int:
    if server.version.spawn_has_socket:
        description, transform, (has_parent, *parent), _attach, _socket, after = fields
    else:
        description, transform, (has_parent, *parent), after = fields
    above = server.episode.actor(parent[0]) if has_parent else None
    actor = server.episode.spawn(description, pose_of(transform), above)
    for ((index, more),) in after:
        ((ok, result),) = run_command(server, index, more, new_actor=actor.id)
        if not ok:
            raise RefusedError(result[0])
    return actor.id


def _walker_state(server: Server, number: int, transform: Any, speed: float) -> None:
    set_actor_transform(server, number, transform)


def _nothing(server: Server, number: int, *ignored: Any) -> None:
    _body(server, number)


_COMMANDS: dict[str, Any] = {
    "destroy": destroy_actor,
    "vehicle_control": apply_control_to_vehicle,
    "walker_control": apply_control_to_walker,
    "physics_control": apply_physics_control,
    "transform": set_actor_transform,
    "walker_state": _walker_state,
    "target_velocity": set_actor_target_velocity,
    "target_angular_velocity": set_actor_target_angular_velocity,
    "simulate_physics": set_actor_simulate_physics,
    "gravity": set_actor_enable_gravity,
    "autopilot": set_actor_autopilot,
    "telemetry": _nothing,
    "lights": set_vehicle_light_state,
    "location": set_actor_location,
}
