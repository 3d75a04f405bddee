"""Ticks a second through the official carla client: `pytest bench/bench_carla_server.py --benchmark-only`.

Client and server are two processes that share this machine's cores; the client waits for each picture of its own tick,
copies it, and sends a control with every tick. extra_info["ticks_per_s"] is of the median round.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
TICKS = 400
CAMERAS: dict[str, tuple[int, list[str]]] = {
    "none": (0, []),
    "rgb-128": (128, ["rgb"]),
    "rgb-84": (84, ["rgb"]),
    "rgb-256": (256, ["rgb"]),
    "rgb-and-instances-128": (128, ["rgb", "instance_segmentation"]),
}


class Client:
    """The script below in a process of its own: one line asks for a number of ticks, one line says they are done."""

    def __init__(self, port: int, side: int, kinds: list[str]):
        arguments = [__file__, str(port), str(side), *kinds]
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def tick(self) -> None:
        assert self._process.stdin is not None
        print(TICKS, file=self._process.stdin, flush=True)
        assert json.loads(self._line()) == TICKS

    def close(self) -> None:
        self._process.communicate("0\n", timeout=30)


@pytest.mark.parametrize("cameras", CAMERAS)
def test_ticks(benchmark: BenchmarkFixture, cameras: str) -> None:
    pytest.importorskip("carla")
    from carla_processes import server

    with server() as running:
        client = Client(running.port, *CAMERAS[cameras])
        benchmark.pedantic(client.tick, rounds=7, warmup_rounds=1)
        client.close()
    if benchmark.stats is not None:
        benchmark.extra_info["ticks_per_s"] = round(TICKS / benchmark.stats.stats.median)


def drive(port: int, side: int, kinds: list[str]) -> None:
    """The client: JayWalk's scene, a car that speeds up and brakes."""
    import queue

    import carla

    client = carla.Client("127.0.0.1", port, worker_threads=4)
    client.set_timeout(10.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library = world.get_blueprint_library()

    def spawn(name: str, x: float, y: float, z: float = 0.0, **more: Any) -> Any:
        return world.spawn_actor(library.find(name), carla.Transform(carla.Location(x, y, z)), **more)

    car = spawn("vehicle.tesla.model3", 1.0, 2.0)
    for i in range(4):
        spawn(f"walker.pedestrian.{i + 1:04}", 20.0 + 40.0 * (i // 2), 6.5 if i % 2 else -6.5, 1.0)
    queues, kept = [], []  # a camera whose object is gone is silent
    for kind in kinds:
        blueprint = library.find(f"sensor.camera.{kind}")
        for key, value in (("image_size_x", side), ("image_size_y", side), ("fov", 60)):
            blueprint.set_attribute(key, str(value))
        camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(1.0, 0.0, 1.5)), attach_to=car)
        pictures: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        camera.listen(lambda image, put=pictures.put: put((image.frame, bytes(image.raw_data))))
        while pictures.empty():
            world.tick()
        queues.append(pictures)
        kept.append(camera)
    print("ready", flush=True)
    while count := int(input()):
        for i in range(count):
            speeding = i % 40 < 20
            car.apply_control(carla.VehicleControl(throttle=0.3 * speeding, brake=0.5 * (not speeding)))
            frame = world.tick()
            for pictures in queues:
                while pictures.get(timeout=10.0)[0] < frame:
                    pass
        print(count, flush=True)
    os._exit(0)  # a client's own end may abort the process


if __name__ == "__main__":
    drive(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
