"""What an unmodified carla.Client sees; run by test_carla_server.py in a process of its own.

Plain Python 3.7 without numpy, so that the older clients can run it too (`--carla-python`).
"""

import json
import os
import queue
import sys
import time
import traceback

import carla

IMAGE = 128
KINDS = ("rgb", "semantic_segmentation", "instance_segmentation", "depth")


class Visitor:
    """A client, its world in synchronous mode, and what it spawned."""

    def __init__(self, port, folder, host="127.0.0.1"):
        self.client = carla.Client(host, port, worker_threads=6)
        self.client.set_timeout(10.0)
        self.port, self.folder = port, folder
        self.world = self.client.get_world()
        self.mine = []
        self.queues = {}

    def synchronous(self, on=True):
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = on, 0.05 if on else None
        self.world.apply_settings(settings)

    def blueprint(self, name, **attributes):
        found = self.world.get_blueprint_library().find(name)
        for key, value in attributes.items():
            found.set_attribute(key, str(value))
        return found

    def spawn(self, name, x, y, z=0.0, yaw=0.0, parent=None, **attributes):
        place = carla.Transform(carla.Location(x, y, z), carla.Rotation(yaw=yaw))
        actor = self.world.spawn_actor(self.blueprint(name, **attributes), place, attach_to=parent)
        self.mine.append(actor)
        return actor

    def listen(self, sensor, key):
        self.queues[key] = queue.Queue()
        sensor.listen(self.queues[key].put)

    def camera(self, kind, parent):
        size = {"image_size_x": IMAGE, "image_size_y": IMAGE, "fov": 60}
        sensor = self.spawn(f"sensor.camera.{kind}", 1.0, 0.0, 1.5, parent=parent, **size)
        self.listen(sensor, kind)
        return sensor

    def sensed(self, key, frame, timeout=10.0):
        """The data of a frame; None where a newer one comes instead."""
        while True:
            data = self.queues[key].get(timeout=timeout)
            if data.frame >= frame:
                return data if data.frame == frame else None

    def warm(self, keys):
        """Ticks until every sensor has spoken: a subscription takes its time."""
        waiting = set(keys)
        for _ in range(200):
            self.world.tick()
            waiting = {key for key in waiting if self.queues[key].empty()}
            if not waiting:
                return
            time.sleep(0.01)
        raise AssertionError(f"no data from {waiting}")

    def clear(self):
        for actor in reversed(self.mine):
            if actor.type_id.startswith("sensor."):
                actor.stop()
            actor.destroy()
        self.mine.clear()
        self.queues.clear()
        self.world.tick()


def place(actor):
    transform = actor.get_transform()
    return [transform.location.x, transform.location.y, transform.location.z, transform.rotation.yaw]


def connects(s):
    chart = s.world.get_map()
    lanes = {}
    road = 12 if chart.name.endswith("Town01") else 45
    for lane in (-4, -3, -2, -1, 1, 2, 3, 4):
        point = chart.get_waypoint_xodr(road, lane, 17.25)
        if point is not None:
            at = point.transform.location
            lanes[str(lane)] = [at.x, at.y, point.transform.rotation.yaw, point.lane_width, str(point.lane_type)]
    behind = chart.get_waypoint(carla.Location(-5.0, 2.0, 0.0))
    return {
        "versions": [s.client.get_client_version(), s.client.get_server_version()],
        "map": chart.name,
        "maps": s.client.get_available_maps(),
        "spawn_points": len(chart.get_spawn_points()),
        "lanes": lanes,
        "behind": [behind.road_id, [n.road_id for n in behind.next(6.0)]],
    }


def blueprints(s):
    library = s.world.get_blueprint_library()
    camera = library.find("sensor.camera.rgb")
    camera.set_attribute("fov", "60")
    return {
        "ids": sorted(b.id for b in library),
        "wheels": sorted({int(b.get_attribute("number_of_wheels")) for b in library.filter("vehicle.*")}),
        "colour": library.find("vehicle.audi.tt").get_attribute("color").recommended_values,
        "camera": {a.id: str(a.type) for a in camera},
        "fov": camera.get_attribute("fov").as_float(),
    }


def ticks(s):
    s.synchronous()
    car = s.spawn("vehicle.tesla.model3", 10.0, 2.0, 0.3)
    before = place(car)  # the state of the tick before it was spawned
    taken = s.world.try_spawn_actor(s.blueprint("vehicle.audi.a2"), carla.Transform(carla.Location(12.0, 2.5, 0.3)))
    numbers = [s.world.tick() for _ in range(5)]
    snapshot = s.world.get_snapshot()
    box = car.bounding_box
    found = {
        "before": before,
        "steps": sorted({b - a for a, b in zip(numbers, numbers[1:])}),
        "snapshot_is_of_the_tick": snapshot.frame == numbers[-1],
        "delta": snapshot.timestamp.delta_seconds,
        "place": place(car),
        "box": [box.extent.x, box.extent.y, box.extent.z, box.location.z],
        "taken": taken is not None,
        "type": car.type_id,
        "speed_limit": car.get_speed_limit(),
    }
    s.clear()
    found["destroyed"] = car.id not in [a.id for a in s.world.get_actors()]
    return found


def pictures(s):
    s.synchronous()
    s.world.set_weather(carla.WeatherParameters.ClearNoon)
    car = s.spawn("vehicle.tesla.model3", 10.0, 2.0)
    walker = s.spawn("walker.pedestrian.0001", 22.0, 1.0, 1.0, yaw=-90.0)
    other = s.spawn("vehicle.audi.tt", 30.0, -2.0, yaw=180.0)
    for kind in KINDS:
        s.camera(kind, car)
    s.warm(KINDS)
    car.apply_control(carla.VehicleControl(throttle=0.8, steer=-0.05))
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, -1.0, 0.0), 1.5))
    driven = 12
    for _ in range(driven):
        frame = s.world.tick()
        images = {kind: s.sensed(kind, frame) for kind in KINDS}
    for kind, image in images.items():
        with open(os.path.join(s.folder, kind), "wb") as file:
            file.write(bytes(image.raw_data))
    found = {
        "driven": driven,
        "size": [image.width for image in images.values()],
        "fov": images["rgb"].fov,
        "place": place(car),
        "camera": [images["rgb"].transform.location.x, images["rgb"].transform.location.z],
        "ids": {"car": car.id, "walker": walker.id, "other": other.id},
        "labels": {name: int(label) for name, label in carla.CityObjectLabel.names.items()},
        "velocity": [car.get_velocity().x, walker.get_velocity().y],
        "control": [car.get_control().throttle, car.get_control().steer],
    }
    s.clear()
    return found


def weathers(s):
    s.synchronous()
    car = s.spawn("vehicle.tesla.model3", 10.0, 2.0)
    s.camera("rgb", car)
    s.warm(["rgb"])
    found = {}
    names = ("ClearNoon", "HardRainNoon", "ClearSunset")
    weather = {name: getattr(carla.WeatherParameters, name) for name in names}
    weather["Midnight"] = carla.WeatherParameters(cloudiness=30.0, fog_density=20.0, sun_altitude_angle=-90.0)
    weather["Fog"] = carla.WeatherParameters(cloudiness=50.0, fog_density=100.0, sun_altitude_angle=5.0)
    for name, parameters in weather.items():
        s.world.set_weather(parameters)
        image = s.sensed("rgb", s.world.tick())
        bytes_bgra = bytes(image.raw_data)
        light = sum(sum(bytes_bgra[channel::4]) for channel in range(3)) / (3 * IMAGE * IMAGE)
        found[name] = [light, s.world.get_weather().sun_altitude_angle]
    s.clear()
    return found


def collisions(s):
    s.synchronous()
    car = s.spawn("vehicle.tesla.model3", 10.0, 2.0)
    s.listen(s.spawn("sensor.other.collision", 0.0, 0.0, parent=car), "collision")
    walker = s.spawn("walker.pedestrian.0002", 22.0, 2.0, 1.0)
    time.sleep(0.3)
    s.world.tick()
    car.set_target_velocity(carla.Vector3D(10.0, 0.0, 0.0))
    events = []
    for _ in range(40):
        frame = s.world.tick()
        time.sleep(0.01)
        while not s.queues["collision"].empty():
            event = s.queues["collision"].get()
            events.append([event.frame - frame, event.actor.id, event.other_actor.type_id, event.normal_impulse.x])
    car.apply_control(carla.VehicleControl(brake=1.0))
    dormant = 0
    for tick in range(400):
        s.world.tick()
        if walker.is_dormant:
            dormant = tick
            break
    while not s.queues["collision"].empty():
        s.queues["collision"].get()
    car.set_transform(carla.Transform(carla.Location(100.0, 6.0, 0.0), carla.Rotation(yaw=80.0)))
    car.set_target_velocity(carla.Vector3D(2.0, 6.0, 0.0))
    car.apply_control(carla.VehicleControl(throttle=1.0))
    furniture = set()
    for _ in range(60):
        s.world.tick()
        time.sleep(0.005)
        while not s.queues["collision"].empty():
            furniture.add(s.queues["collision"].get().other_actor.type_id)
    found = {"events": events, "car": car.id, "dormant_after": dormant, "furniture": sorted(furniture)}
    s.clear()
    return found


def walkers(s):
    s.synchronous()
    walker = s.spawn("walker.pedestrian.0005", 20.0, 6.5, 1.0)
    s.world.tick()
    standing = place(walker)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, -1.0, 0.0), 0.0))
    s.world.tick()
    turned = place(walker)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, -2.0, 0.0), 2.0))
    for _ in range(20):
        s.world.tick()
    walked = place(walker)
    walker.apply_control(carla.WalkerControl())
    s.world.tick()
    at = place(walker)
    s.world.tick()
    control = walker.get_control()
    found = {
        "standing": standing,
        "turned": turned,
        "walked": walked,
        "stays": place(walker) == at,
        "control": [control.direction.x, control.speed],
    }
    s.clear()
    return found


def batches(s):
    s.synchronous()
    command = carla.command
    lit = command.SetVehicleLightState(command.FutureActor, carla.VehicleLightState.HighBeam)
    at = [carla.Transform(carla.Location(40.0 + 20.0 * i, 2.0, 0.0)) for i in range(2)]
    audi = s.blueprint("vehicle.audi.tt")
    answers = s.client.apply_batch_sync(
        [command.SpawnActor(audi, at[0]).then(lit), command.SpawnActor(audi, at[1]), command.SpawnActor(audi, at[1])],
        False,
    )
    s.world.tick()
    cars = [s.world.get_actor(answer.actor_id) for answer in answers if not answer.error]
    moves = [
        command.ApplyVehicleControl(cars[0].id, carla.VehicleControl(throttle=1.0)),
        command.ApplyTransform(cars[1].id, carla.Transform(carla.Location(90.0, -2.0, 0.0), carla.Rotation(yaw=180.0))),
        command.ApplyTargetVelocity(cars[1].id, carla.Vector3D(-5.0, 0.0, 0.0)),
    ]
    moved = s.client.apply_batch_sync(moves, False)
    for _ in range(10):
        s.world.tick()
    found = {
        "errors": [answer.error for answer in answers],
        "moved": [answer.error for answer in moved],
        "lights": str(cars[0].get_light_state()),
        "places": [place(car) for car in cars],
        "throttle": cars[0].get_control().throttle,
    }
    gone = s.client.apply_batch_sync([command.DestroyActor(car.id) for car in (*cars, cars[0])], False)
    s.world.tick()
    found["gone"] = [answer.error for answer in gone]
    found["left"] = len(s.world.get_actors().filter("vehicle.*"))
    return found


def traffic(s):
    s.synchronous()
    port = s.port + 3
    manager = s.client.get_trafficmanager(port)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    cars = [s.spawn("vehicle.audi.tt", 30.0 + 30.0 * i, 2.0) for i in range(2)]
    cars.append(s.spawn("vehicle.bh.crossbike", 20.0, 2.0))
    s.world.tick()
    for car in cars:
        car.set_autopilot(True, port)
        manager.vehicle_percentage_speed_difference(car, -30.0)
    starts = [place(car)[0] for car in cars]
    for _ in range(100):
        s.world.tick()
    ends = [place(car) for car in cars]
    found = {"driven": [end[0] - start for end, start in zip(ends, starts)], "y": [end[1] for end in ends]}
    for car in cars:
        car.set_autopilot(False, port)
    s.world.tick()
    manager.shut_down()
    s.clear()
    return found


def worlds(s):
    s.synchronous()
    first = s.world.id
    s.spawn("vehicle.tesla.model3", 10.0, 2.0)
    s.world.tick()
    s.mine.clear()  # a new world has nobody
    s.world = s.client.load_world("Town04")
    found = {
        "new": s.world.id != first,
        "map": s.world.get_map().name,
        "lanes": connects(s)["lanes"],
        "synchronous": s.world.get_settings().synchronous_mode,
        "actors": [actor.type_id for actor in s.world.get_actors()],
    }
    a = s.world.wait_for_tick()
    time.sleep(0.3)
    b = s.world.wait_for_tick()
    found["ticks_by_itself"] = b.frame - a.frame
    try:
        s.client.load_world("Town99")
    except RuntimeError as error:
        found["unknown"] = str(error)
    s.synchronous()
    s.world = s.client.load_world("Town01", False)
    found["kept"] = s.world.get_settings().synchronous_mode
    return found


STEPS = (connects, blueprints, ticks, pictures, weathers, collisions, walkers, batches, traffic, worlds)


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    names = sys.argv[3:]
    visitor = Visitor(port, folder)
    found = {}
    for step in STEPS:
        if names and step.__name__ not in names:
            continue
        try:
            found[step.__name__] = step(visitor)
        except (RuntimeError, AssertionError, IndexError, AttributeError, TypeError, ValueError, queue.Empty):
            found[step.__name__] = {"failed": traceback.format_exc()}
    print(json.dumps(found), flush=True)
    os._exit(0)  # a client's own end may abort the process


if __name__ == "__main__":
    main()
