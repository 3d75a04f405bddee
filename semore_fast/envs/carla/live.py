"""`Drive` on a live server."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semore_fast import _C
from semore_fast.envs.carla.actors import Crew
from semore_fast.envs.carla.asking import asking
from semore_fast.envs.carla.blueprints import Wardrobe
from semore_fast.envs.carla.cast import Cast
from semore_fast.envs.carla.connect import Connection
from semore_fast.envs.carla.drive import Frame, Info
from semore_fast.envs.carla.ego import Ego
from semore_fast.envs.carla.errors import CarlaError, CarlaLost, CarlaSetupError
from semore_fast.envs.carla.measure import actor_rows, contacts_expected, impulse_ns
from semore_fast.envs.carla.pictures import InstanceIds, class_table, rgb_chw, tags_and_ids
from semore_fast.envs.carla.sensors import Collision
from semore_fast.envs.carla.settings import DriveSettings
from semore_fast.envs.carla.traffic import Traffic
from semore_fast.envs.embedded import END_REASONS, first_row, results_info

__all__ = ["LiveDrive"]

_RUNNING, _TIME_LIMIT = END_REASONS.index("running"), END_REASONS.index("time_limit")
_ROAD_ENDS_M = 10.0
"""An episode that comes this close to the end of the road is cut off as by its time limit."""

COUNTED = ("frames", "episodes", "spawn_retries", "absent", "late_collisions", "swept", "woken")


class LiveDrive:
    """See `Drive`."""

    def __init__(self, settings: DriveSettings):
        scenario = settings.scenario
        if not scenario.actors_drawn:
            raise CarlaSetupError("actors_drawn=False is a control of the embedded simulator alone: leave it True")
        self._settings = settings
        self._director = _C.Director(scenario.to_dict())
        self._connection = Connection(settings)
        self._classes = class_table()
        self._crew = Crew(self._connection.client, self._connection.world, self._connection.frame, settings)
        self._traffic: Traffic | None = None
        self._ego: Ego | None = None
        self._cast: Cast | None = None
        self._instances = InstanceIds()
        self._frame = 0
        self._end = _TIME_LIMIT
        self._closed = False
        self._crashed_before = False
        self.counters = dict.fromkeys(COUNTED, 0)
        try:
            self._take_over()
        except CarlaError:
            self.close()
            raise

    def _take_over(self) -> None:
        self._connection.take_over()
        self.counters["swept"] = self._crew.sweep()
        self._crashed_before = self.counters["swept"] > 0
        if self._crashed_before:
            # Until a frame without them has come, the client's Traffic Manager asks for them and aborts the process.
            with asking("tick after sweeping", self._settings.timeouts.tick_s):
                self._advance_server()
        with asking("get the blueprints", self._settings.timeouts.call_s):
            library = self._connection.world.get_blueprint_library()
        self._wardrobe = Wardrobe(library, self._settings.owner_tag)
        if len(self._director.vehicles()):
            self._traffic = Traffic(self._connection.client, self._settings)

    def reset(self, seed: int) -> tuple[Frame, Info]:
        """See `Drive`."""
        self._end = _TIME_LIMIT  # until everything stands
        times = self._settings.timeouts
        self._connection.client.set_timeout(times.call_s)
        with asking("reset", times.call_s):
            self._clear()
            self._start(seed)
        self._connection.client.set_timeout(times.tick_s)
        self._end = _RUNNING
        self.counters["episodes"] += 1
        return self._observe()

    def _start(self, seed: int) -> None:
        self._director.start(seed)
        self._ego = Ego(self._director, self._crew, self._wardrobe, self._connection.frame, self._settings)
        self._cast = Cast(self._director, self._crew, self._wardrobe, self._connection.frame, self._traffic)
        self._instances = InstanceIds()
        self._settle()
        self._cast.start_traffic(seed)
        still = np.zeros(2, np.float32)
        for _ in range(self._settings.scenario.warmup_frames):
            self._advance(still)
        self._director.begin()
        self.counters["spawn_retries"] = self._crew.spawn_retries
        self.counters["absent"] += self._cast.absent
        self.counters["woken"] = 0 if self._traffic is None else self._traffic.woken

    def step(self, action: ArrayLike) -> tuple[Frame, float, bool, bool, Info]:
        """See `Drive`."""
        wanted = np.asarray(action, np.float32)
        if wanted.shape != (2,) or not np.isfinite(wanted).all():
            raise ValueError(f"an action is two finite numbers, got {action!r}")
        if self._end != _RUNNING:
            raise _C.ResetNeededError(f"the episode has ended ({END_REASONS[self._end]}); reset it before going on")
        control = np.clip(wanted, -1.0, 1.0)
        for _ in range(self._settings.action_repeat):
            with asking(f"frame {self._frame + 1}", self._settings.timeouts.tick_s):
                self._end = self._advance(control)
            if self._end != _RUNNING:
                break
        picture, info = self._observe()
        truncated = self._end == _TIME_LIMIT
        return picture, self._reward, self._end != _RUNNING and not truncated, truncated, info

    def close(self) -> None:
        """See `Drive`."""
        if self._closed:
            return
        self._closed = True
        if self._traffic is not None:
            self._traffic.stop_watching()
        if not self._connection.answers():
            self._crew.forget_all()
            return
        with contextlib.suppress(CarlaError):  # what follows is best effort: the server may die at any point of it
            if self._ego is not None:
                self._ego.stop()
            if self._traffic is not None:
                self._traffic.release_all()
                self._traffic.close()
            self._crew.dismiss_all()
            self._connection.restore(self._crashed_before)

    def _clear(self) -> None:
        if self._ego is not None:
            self._ego.stop()
            self._ego = None
        if self._traffic is not None:
            self._traffic.release_all()
        if self._crew.dismiss_all():
            self._advance_server()  # their places are free only after it
        self._cast = None

    def _tick(self) -> None:
        """One frame of the server; then the snapshot in everybody's motion."""
        with asking(f"tick after frame {self._frame}", self._settings.timeouts.tick_s):
            self._frame = self._advance_server()
        snapshot = self._connection.world.get_snapshot()
        if snapshot.frame != self._frame:
            raise CarlaLost(
                f"ticked frame {self._frame} and got frame {snapshot.frame}: another client ticks this server too; "
                "give every environment its own"
            )
        assert self._ego is not None
        assert self._cast is not None
        self._ego.look(snapshot)
        self._cast.look(snapshot)
        self.counters["frames"] += 1

    def _advance_server(self) -> int:
        """The number of the server's next frame; the Traffic Manager has done its part of it."""
        with contextlib.nullcontext() if self._traffic is None else self._traffic.watching():
            frame: int = self._connection.world.tick(self._settings.timeouts.tick_s)
            return frame

    def _settle(self) -> None:
        """Tick until every sensor has delivered its own frame and the ego stands on its wheels; nobody moves."""
        assert self._ego is not None
        self._ego.hold()
        for _ in self._ego.settling():
            self._tick()
            self._ego.wait_a_little()
        self._ego.check_settled(self._frame)

    def _advance(self, control: NDArray[np.float32]) -> int:
        """One frame of the scenario; returns its reason to end."""
        ego, cast = self._ego, self._cast
        assert ego is not None
        assert cast is not None
        commands = cast.direct(ego.motion.x_m)
        commands.append(ego.command(control))
        self._connection.client.apply_batch(commands)
        self._tick()
        events = self._collisions(ego, cast, float(control[1]))
        hits = sum(cast.note_hit(other, self._frame) for other in dict.fromkeys(e[1] for e in events))
        motion = ego.motion
        end = self._director.judge(
            x_m=motion.x_m,
            y_m=motion.y_m,
            yaw_rad=motion.yaw_rad,
            vx_mps=motion.vx_mps,
            vy_mps=motion.vy_mps,
            steer=float(control[0]),
            drive=float(control[1]),
            crash_intensity_ns=impulse_ns(events),
            new_hits=hits,
        )
        at_the_end = motion.x_m > self._connection.frame.length_m - _ROAD_ENDS_M
        return _TIME_LIMIT if end == _RUNNING and at_the_end else end

    def _collisions(self, ego: Ego, cast: Cast, drive: float) -> list[Collision]:
        expected = contacts_expected(ego.motion, ego.size_m, cast.members, self._settings.scenario, self._frame, drive)
        events = ego.ear.take(self._frame, expected, self._settings.timeouts.collision_s)
        self.counters["late_collisions"] += sum(event[0] < self._frame for event in events)
        return events

    def _observe(self) -> tuple[Frame, Info]:
        ego, cast, settings = self._ego, self._cast, self._settings
        assert ego is not None
        assert cast is not None
        raw = ego.eye.box.take(self._frame, settings.timeouts.sensor_s)
        picture = rgb_chw(raw, settings.image_size, settings.supersample)
        results = self._director.take()
        results["end"] = self._end
        self._reward = float(results["reward"][0])
        info = first_row(results_info(results))
        motion = ego.motion
        info["ego"] = self._director.ego_row(
            x_m=motion.x_m, y_m=motion.y_m, yaw_rad=motion.yaw_rad, vx_mps=motion.vx_mps, vy_mps=motion.vy_mps
        )
        info["actors"] = actor_rows(motion, cast.members)
        if ego.label_eye is not None:
            raw = ego.label_eye.box.take(self._frame, settings.timeouts.sensor_s)
            tags, instances = tags_and_ids(raw, settings.image_size, settings.supersample)
            numbers = {actor & 0xFFFF: member.instance_id for actor, member in cast.by_actor().items()}
            info["class_ids"] = self._classes[tags]
            info["instance_ids"] = self._instances.plane(info["class_ids"], instances, numbers)
        return picture, info
