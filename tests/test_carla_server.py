"""The official carla client against the protocol server, each in a process of its own."""

import signal

import numpy as np
import pytest
from carla_processes import ROOT, ServerProcess, client_version, run_client, server

pytest.importorskip("carla")
pytest.importorskip("msgpack")

from dataclasses import asdict

from semore_fast import _C
from semore_fast.carla_server.control import Control
from semore_fast.envs.presets import JW

LABELS = {
    1: ["Roads"],
    2: ["Sidewalks"],
    3: ["Buildings"],
    5: ["Fences"],
    6: ["Poles"],
    9: ["Vegetation"],
    10: ["Terrain"],
    11: ["Sky"],
    12: ["Pedestrians"],
    14: ["Car", "Vehicles"],
    24: ["RoadLines"],
}
"""The simulator's classes by the names that the clients have for them; the second is 0.9.13's."""
CLIENT = ROOT / "tests" / "carla_client.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def seen(folder, request):
    """What one client saw, by step."""
    python = request.config.getoption("--carla-python")
    with server("--seed", "5", "--version", client_version(python)) as running:
        found = run_client(CLIENT, str(running.port), str(folder), python=python)
        with Control(port=running.port) as control:
            found["counters"] = control.counters()
        return found


@pytest.fixture
def step(seen):
    def of(name):
        assert "failed" not in seen[name], seen[name].get("failed")
        return seen[name]

    return of


def test_it_says_that_it_is_not_carla():
    with server() as running:
        assert "not CARLA" in running.first_line


def test_the_client_connects_and_finds_the_roads(step):
    found = step("connects")
    assert found["versions"][0] == found["versions"][1]
    assert found["map"] == "Carla/Maps/Town01"
    assert found["maps"] == ["/Game/Carla/Maps/Town01", "/Game/Carla/Maps/Town04"]
    assert found["spawn_points"] > 10
    assert found["lanes"]["-1"] == [17.25, 2.0, pytest.approx(0), 4.0, "Driving"]
    assert found["lanes"]["1"] == [17.25, -2.0, pytest.approx(180), 4.0, "Driving"]
    assert found["lanes"]["-3"] == [17.25, 6.5, pytest.approx(0), 1.0, "Sidewalk"]
    assert found["behind"] == [11, [12]]


def test_the_blueprints(step):
    found = step("blueprints")
    wanted = {"vehicle.tesla.model3", "vehicle.audi.a2", "vehicle.bh.crossbike", "vehicle.carlamotors.firetruck"}
    wanted |= {"vehicle.dodge.charger_police", "vehicle.ford.ambulance", "walker.pedestrian.0001"}
    wanted |= {"sensor.camera.instance_segmentation", "sensor.other.collision", "controller.ai.walker"}
    assert wanted <= set(found["ids"])
    assert found["wheels"] == [2, 4]
    assert len(found["colour"]) == 8
    assert found["fov"] == 60.0
    assert found["camera"]["exposure_max_bright"] == "Float"
    assert found["camera"]["image_size_x"] == "Int"
    assert found["camera"]["enable_postprocess_effects"] == "Bool"


def test_synchronous_ticks(step):
    found = step("ticks")
    assert found["before"] == [0, 0, 0, 0]
    assert found["steps"] == [1]
    assert found["snapshot_is_of_the_tick"]
    assert found["delta"] == pytest.approx(0.05)
    assert found["place"] == pytest.approx([10, 2, 0, 0], abs=1e-6)
    assert found["box"] == pytest.approx([2.35, 0.93, 0.72, 0.72])
    assert not found["taken"]
    assert found["speed_limit"] == 30
    assert found["destroyed"]


def own_picture(driven):
    """What the simulator itself draws of the `pictures` step."""
    world = _C.OpenWorld(road=asdict(JW.road), dt_s=0.05)
    world.set_scene(weather="day", street_lights=False, scenery_seed=5)
    look = {"style": 0, "yaw_rad": 0.0}
    ego = world.spawn_vehicle(
        kind="car", length_m=4.70, width_m=1.86, height_m=1.44, colour=(24, 50, 120), x_m=10.0, y_m=-2.0, **look
    )
    colour = tuple(30 + step % 200 for step in (67, 113, 179))
    walker = world.spawn_walker(colour=colour, style=37, x_m=22.0, y_m=-1.0, yaw_rad=np.pi / 2)
    other = world.spawn_vehicle(
        kind="car",
        length_m=4.6,
        width_m=1.85,
        height_m=1.5,
        colour=(120, 124, 130),
        style=0,
        x_m=30.0,
        y_m=2.0,
        yaw_rad=-np.pi,
    )
    world.tick()
    world.control_vehicle(ego, steer=-0.05, throttle=0.8, brake=0.0, hand_brake=False, reverse=False)
    world.control_walker(walker, x=0.0, y=1.0, speed_mps=1.5)
    for _ in range(driven):
        world.tick()
    bgra = np.zeros((128, 128, 4), np.uint8)
    class_ids, instance_ids = np.zeros((2, 128, 128), np.uint8)
    depth = np.zeros((128, 128), np.float32)
    camera = world.open_camera(width=128, height=128, fov_deg=60.0, supersample=1)
    world.render(
        camera,
        owner=ego,
        x_m=1.0,
        y_m=0.0,
        z_m=1.5,
        yaw_rad=0.0,
        pitch_rad=0.0,
        bgra=bgra,
        class_ids=class_ids,
        instance_ids=instance_ids,
        depth_m=depth,
    )
    rows = {int(row["id"]): int(row["instance_id"]) for row in world.actors()}
    return bgra, class_ids, instance_ids, depth, {"walker": rows[walker], "other": rows[other]}


def test_pictures_are_the_simulator_s_own(step, folder):
    found = step("pictures")
    assert found["size"] == [128] * 4
    assert found["fov"] == 60
    assert found["camera"][1] == pytest.approx(1.5)
    bgra, class_ids, instance_ids, depth, instances = own_picture(found["driven"])
    rgb, semantic, instance, far = (
        np.fromfile(folder / kind, np.uint8).reshape(128, 128, 4)
        for kind in ("rgb", "semantic_segmentation", "instance_segmentation", "depth")
    )
    np.testing.assert_array_equal(rgb, bgra)
    tags = np.full(256, 255)
    for class_id, names in LABELS.items():
        tags[class_id] = next(found["labels"][name] for name in names if name in found["labels"])
    np.testing.assert_array_equal(semantic[..., 2], tags[class_ids])
    assert {1, 2, 10, 11, 12, 14} <= set(class_ids.ravel().tolist())
    np.testing.assert_array_equal(instance[..., 2], semantic[..., 2])
    numbers = instance[..., 1] + 256 * instance[..., 0].astype(int)
    for name, number in instances.items():
        np.testing.assert_array_equal(numbers == found["ids"][name], instance_ids == number)
        assert (instance_ids == number).any(), name
    parts = far[..., 2] + 256.0 * far[..., 1] + 65536.0 * far[..., 0]
    np.testing.assert_allclose(1000 * parts / (256**3 - 1), depth, atol=1e-4)  # half of 1000 m / 2^24


def test_the_car_and_the_walker_moved_as_told(step):
    found = step("pictures")
    assert found["velocity"][0] > 2
    assert found["velocity"][1] == pytest.approx(-1.5)
    assert found["control"] == pytest.approx([0.8, -0.05])
    assert found["place"][1] < 2.0  # steered to the left


def test_weathers_differ(step):
    found = step("weathers")
    light = {name: mean for name, (mean, _) in found.items()}
    assert found["ClearSunset"][1] == pytest.approx(15)
    assert light["Midnight"] < light["ClearSunset"] < light["ClearNoon"]
    assert len({round(mean, 3) for mean in light.values()}) == 5


def test_collisions_are_told_in_their_frame(step):
    found = step("collisions")
    assert found["events"]
    behind, actor, other, impulse = found["events"][0]
    assert (behind, actor, other) == (0, found["car"], "walker.pedestrian.0002")
    assert impulse < -1000
    assert found["dormant_after"] > 0
    assert found["furniture"] == ["static.fence"]


def test_walkers_turn_and_walk(step):
    found = step("walkers")
    assert found["standing"] == pytest.approx([20, 6.5, 0.875, 0], abs=1e-5)
    assert found["turned"] == pytest.approx([20, 6.5, 0.875, -90], abs=1e-4)
    assert found["walked"] == pytest.approx([20, 4.5, 0.875, -90], abs=1e-3)
    assert found["stays"]
    assert found["control"][1] == 0


def test_batches(step):
    found = step("batches")
    assert found["errors"] == ["", "", "Spawn failed because of collision at spawn position"]
    assert found["moved"] == ["", "", ""]
    assert found["lights"] == "HighBeam"
    assert found["throttle"] == 1
    assert found["places"][0][0] > 40.2
    assert found["places"][1][:2] == pytest.approx([87.5, -2.0], abs=0.2)
    assert found["gone"][:2] == ["", ""]
    assert "not found" in found["gone"][2]
    assert found["left"] == 0


def test_the_client_s_traffic_manager_drives(step):
    found = step("traffic")
    assert min(found["driven"]) > 20
    assert found["y"] == pytest.approx([2.0] * 3, abs=0.7)


def test_worlds_are_loaded_and_tick_by_themselves(step):
    found = step("worlds")
    assert found["new"]
    assert found["map"] == "Carla/Maps/Town04"
    assert not found["synchronous"]
    assert found["actors"] == ["spectator"]
    assert 3 <= found["ticks_by_itself"] <= 20
    assert "'Town99'" in found["unknown"]
    assert found["kept"]
    for lane, centre in (("-1", 2.75), ("-2", 6.25), ("-3", 9.75), ("-4", 13.25)):
        assert found["lanes"][lane] == [17.25, centre, pytest.approx(0), 3.5, "Driving"]


def test_nothing_is_left_behind(step, seen):
    counters = seen["counters"]
    assert counters["actors"] == 1  # the spectator
    assert counters["streams"] == 1  # the world's state
    assert counters["frames_skipped"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked_also_where_a_shell_had_it_ignore_interrupts(number):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = ServerProcess()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        running.process.send_signal(number)
        assert running.process.wait(20) == 0
    finally:
        running.stop()
