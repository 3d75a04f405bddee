"""Vehicles and cyclists, driven by the client's Traffic Manager.

Its hazards are met as measured with the official clients: the port is always passed, synchronous mode stays on until
the manager is shut down, nobody is destroyed who is still driven, and one that sleeps through a tick is woken.
"""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager

import carla
import numpy as np

from semore_fast.envs.carla.asking import asking
from semore_fast.envs.carla.errors import CarlaLost, CarlaSetupError
from semore_fast.envs.carla.settings import DriveSettings
from semore_fast.envs.carla.waker import Waker

__all__ = ["Traffic", "light_state"]

_TO_LEADER_M = 2.0
_MPS_PER_KMH = 1 / 3.6
_FALLBACK_LIMIT_KMH = 30.0
_ASLEEP = 1.25
"""Of a tick's time-out, within which the server has answered or is lost."""

_LIGHTS = (
    (1, carla.VehicleLightState.LowBeam),
    (2, carla.VehicleLightState.HighBeam),
    (4, carla.VehicleLightState.Brake),
    (8, carla.VehicleLightState.Position),
    (16, carla.VehicleLightState.Special1),
)


def light_state(bits: int) -> carla.VehicleLightState:
    """CARLA's lights for the bits of scene.hpp's Lights."""
    state = 0
    for bit, light in _LIGHTS:
        state |= int(light) if bits & bit else 0
    return carla.VehicleLightState(state)


def _check_free(port: int) -> None:
    """`OSError` if somebody listens there; the client itself would try to reach them for ten seconds."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a closed manager leaves is no obstacle
        probe.bind(("", port))


class Traffic:
    """One Traffic Manager. It lives as long as the connection; vehicles come and go."""

    def __init__(self, client: carla.Client, settings: DriveSettings):
        self._port = settings.tm_port
        self._limit_s = settings.timeouts.call_s
        try:
            _check_free(self._port)
            with asking("open the Traffic Manager", self._limit_s):
                self._manager = client.get_trafficmanager(self._port)
        except (CarlaLost, OSError) as error:
            raise CarlaSetupError(
                f"no Traffic Manager on port {self._port}: another process has taken it meanwhile; start again"
            ) from error
        with asking("set up the Traffic Manager", self._limit_s):
            self._manager.set_synchronous_mode(True)
            self._manager.set_global_distance_to_leading_vehicle(_TO_LEADER_M)
        self._driven: dict[int, carla.Vehicle] = {}
        self._waker = Waker(self._notify, _ASLEEP * settings.timeouts.tick_s)

    def watching(self) -> AbstractContextManager[None]:
        """Around a tick, which waits for this manager."""
        return self._waker.watching()

    def stop_watching(self) -> None:
        """Before the end, whether or not a server is left to say good-bye to."""
        self._waker.close()

    @property
    def woken(self) -> int:
        """How often it slept through a tick."""
        return self._waker.woken

    def _notify(self) -> None:
        self._manager.set_synchronous_mode(False)
        self._manager.set_synchronous_mode(True)

    def seed(self, seed: int) -> None:
        """Its own draws for one episode; the same seed is not the same drive, only likely a similar one."""
        with asking("seed the Traffic Manager", self._limit_s):
            self._manager.set_random_device_seed(seed % 2**31)

    def drive(self, vehicle: carla.Vehicle, row: np.void) -> None:
        """Hand over a vehicle, with what a row of `Director.vehicles()` says of its speed and place in the lane."""
        manager = self._manager
        with asking("hand a vehicle to the Traffic Manager", self._limit_s):
            vehicle.set_autopilot(True, self._port)
            self._driven[vehicle.id] = vehicle
            manager.auto_lane_change(vehicle, True)
            manager.ignore_lights_percentage(vehicle, 100.0)
            manager.ignore_signs_percentage(vehicle, 100.0)
            manager.distance_to_leading_vehicle(vehicle, _TO_LEADER_M)
            limit_kmh = vehicle.get_speed_limit() or _FALLBACK_LIMIT_KMH
            share = float(row["desired_mps"]) / (limit_kmh * _MPS_PER_KMH)
            manager.vehicle_percentage_speed_difference(vehicle, 100.0 * (1.0 - share))
        self.place_in_lane(vehicle, row)

    def place_in_lane(self, vehicle: carla.Vehicle, row: np.void) -> None:
        """Where it keeps in its lane; clients before 0.9.14 cannot say that."""
        if hasattr(self._manager, "vehicle_lane_offset"):
            to_the_right = -float(row["lane_offset_m"]) * float(row["direction"])
            with asking("set a lane offset", self._limit_s):
                self._manager.vehicle_lane_offset(vehicle, to_the_right)

    def release(self, vehicle: carla.Vehicle) -> None:
        """Take a vehicle back; it may then be destroyed."""
        if self._driven.pop(vehicle.id, None) is not None:
            with asking("take a vehicle from the Traffic Manager", self._limit_s):
                vehicle.set_autopilot(False, self._port)

    def forget(self, vehicle: carla.Actor) -> None:
        """For a vehicle that is destroyed already."""
        self._driven.pop(vehicle.id, None)

    def release_all(self) -> None:
        """Take every vehicle back."""
        for vehicle in list(self._driven.values()):
            self.release(vehicle)

    def close(self) -> None:
        """Shut the manager down, still in synchronous mode."""
        with asking("shut the Traffic Manager down", self._limit_s):
            self._manager.shut_down()
