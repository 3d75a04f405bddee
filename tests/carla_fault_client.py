"""The official client on a server with faults; run by test_carla_server_faults.py in a process of its own."""

import json
import os
import queue
import sys
import time

import carla

from semore_fast.carla_server.control import Control


def frames_until(data, frame, wait_s=0.3):
    """Numbers of the frames that come within a while."""
    numbers = []
    try:
        while not numbers or numbers[-1] < frame:
            numbers.append(data.get(timeout=wait_s))
    except queue.Empty:
        pass
    return numbers


def main():
    port = int(sys.argv[1])
    control = Control(port=port)
    client = carla.Client("127.0.0.1", port, worker_threads=4)
    client.set_timeout(0.5)
    found = {"version": client.get_server_version()}
    control.fault("drop", "version", times=1)
    start = time.monotonic()
    try:
        client.get_server_version()
    except RuntimeError as error:
        found["drop"] = [str(error), time.monotonic() - start]
    found["again"] = client.get_server_version()
    client.set_timeout(5.0)
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    control.fault("error", "get_weather_parameters", times=1)
    try:
        world.get_weather()
    except RuntimeError as error:
        found["error"] = str(error)
    camera = world.spawn_actor(world.get_blueprint_library().find("sensor.camera.rgb"), carla.Transform())
    data = queue.Queue()
    camera.listen(lambda image: data.put(image.frame))
    while data.empty():
        world.tick()
        time.sleep(0.01)
    while frames_until(data, 1 << 40, 0.1):
        pass
    control.fault("late", "rgb", frames=1)
    world.tick()
    frame = world.tick()
    found["late"] = frames_until(data, frame)[-1] - frame
    control.clear_faults()
    control.fault("missing", "rgb", times=1)
    found["missing"] = [(frame := world.tick()) in frames_until(data, frame) for _ in range(2)]
    control.fault("duplicated", "rgb", times=1)
    frame = world.tick()
    time.sleep(0.1)
    found["duplicated"] = len([number for number in (data.get(), data.get()) if number == frame])
    camera.stop()
    camera.destroy()
    print(json.dumps(found), flush=True)
    os._exit(0)  # a client's own end may abort the process


if __name__ == "__main__":
    main()
