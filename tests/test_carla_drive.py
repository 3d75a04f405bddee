"""One environment on a protocol server: episodes, what it leaves behind, and what it says when the server is bad."""

import dataclasses
import socket
import subprocess
import sys

import numpy as np
import pytest
from carla_processes import ENVIRONMENT, ROOT, server

pytest.importorskip("carla")
pytest.importorskip("msgpack")

import carla

from semore_fast import _C
from semore_fast.carla_server.control import Control
from semore_fast.envs import END_REASONS, SCENARIOS, DrivingEnv, on_carla
from semore_fast.envs.carla import (
    CarlaLost,
    CarlaSetupError,
    CarlaTimeout,
    CarlaVersionError,
    DriveSettings,
    Timeouts,
    make_drive,
)

QUICK = Timeouts(connect_s=2.0, call_s=2.0, tick_s=2.0, sensor_s=0.6, close_s=1.0)
THROTTLE = np.array([0.0, 1.0], np.float32)


@pytest.fixture(scope="module")
def running():
    with server() as process:
        yield process


@pytest.fixture
def control(running):
    with Control(port=running.port) as control:
        yield control
        control.clear_faults()


@pytest.fixture
def drive(running):
    """Makes environments and closes them."""
    made = []

    def make(name="jw", scenario=None, **settings):
        given = {"image_size": 32, "port": running.port, "tm_port": running.port + 2000, **settings}
        made.append(make_drive(DriveSettings(scenario=scenario or on_carla(SCENARIOS[name]), **given)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def client_of(running):
    client = carla.Client("127.0.0.1", running.port, worker_threads=4)
    client.set_timeout(5.0)
    return client


@pytest.mark.parametrize(("name", "class_name"), [("jw", "pedestrian"), ("hb", "bicycle"), ("hw", "car")])
def test_an_episode(drive, name, class_name):
    env = drive(
        name, scenario=dataclasses.replace(on_carla(SCENARIOS[name]), max_episode_frames=120), image_size=64, ids=True
    )
    reference = DrivingEnv(name, image_size=64, ids=True, layout="chw")
    wanted_frame, wanted = reference.reset(seed=1)
    frame, info = env.reset(7)
    seen = set()
    terminated = truncated = False
    frames = 0
    while not (terminated or truncated):
        assert (frame.shape, frame.dtype) == (wanted_frame.shape, wanted_frame.dtype)
        assert frame.flags.c_contiguous
        assert {key: np.shape(value) for key, value in info.items()} == {k: np.shape(v) for k, v in wanted.items()}
        assert {key: np.asarray(v).dtype.kind for key, v in info.items()} == {
            key: np.asarray(v).dtype.kind for key, v in wanted.items()
        }
        seen |= set(np.unique(info["class_ids"]))
        frame, reward, terminated, truncated, info = env.step([0.0, 0.4])
        terms = [info[f"reward_{term}"] for term in ("progress", "collision", "brake", "steer")]
        assert reward == pytest.approx(sum(terms), abs=1e-5)
        frames += info["frames"]
    assert info["end_reason"] == END_REASONS.index("time_limit" if truncated else "collisions")
    assert truncated == (frames == 120 and not terminated)
    assert _C.CLASS_IDS[class_name] in seen
    assert info["actors"][0, 0] != 0
    with pytest.raises(_C.ResetNeededError, match="has ended"):
        env.step(THROTTLE)


def test_traffic_drives_at_its_desired_speed(drive):
    scenario = dataclasses.replace(
        SCENARIOS["hw"], same_direction_vehicles=3, same_direction_speed_min_mps=6.0, same_direction_speed_max_mps=6.0
    )
    env = drive(scenario=scenario)
    env.reset(3)
    for _ in range(60):
        _, _, _, _, info = env.step([0.0, 0.3])
    assert info["actors"][:3, 4] == pytest.approx([6.0] * 3, abs=0.7)


def test_a_collision_ends_a_blind_drive(drive):
    env = drive(scenario=dataclasses.replace(SCENARIOS["jw"], walkers_per_side=4, crossing_probability=1.0))
    env.reset(2)
    hits = streak = 0
    for _ in range(500):
        _, _, terminated, truncated, info = env.step(THROTTLE)
        hits += info["new_hits"]
        streak = streak + 1 if info["crash_intensity_ns"] > 0 else 0
        assert info["reward_collision"] == pytest.approx(-1e-3 * info["crash_intensity_ns"])
        if terminated or truncated:
            break
    assert terminated
    assert info["end_reason"] == END_REASONS.index("collisions")
    assert streak == 20
    assert hits >= 1


@pytest.mark.parametrize("action", [[np.nan, 0.0], [0.0, np.inf], [0.0], [0.0, 0.0, 0.0]])
def test_a_bad_action_moves_nothing(drive, action):
    env = drive()
    env.reset(1)
    frames = env.counters["frames"]
    with pytest.raises(ValueError, match="two finite numbers"):
        env.step(action)
    assert env.counters["frames"] == frames
    env.step([7.0, -9.0])
    assert env.counters["frames"] == frames + 1


def test_actions_are_clipped(drive):
    env = drive()
    env.reset(1)
    _, _, _, _, info = env.step([7.0, -9.0])
    assert (info["steer_abs"], info["brake"]) == (1.0, 1.0)


def test_the_same_seed_is_the_same_episode(drive):
    env = drive()
    first = [env.reset(11)[0], *(env.step(THROTTLE)[0] for _ in range(5))]
    other = env.reset(12)[0]
    again = [env.reset(11)[0], *(env.step(THROTTLE)[0] for _ in range(5))]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (other != first[0]).any()


def test_larger_pictures_are_averaged(drive):
    plain = drive(supersample=1)
    frame = plain.reset(4)[0].astype(int)
    plain.close()
    averaged = drive(supersample=3).reset(4)[0].astype(int)
    assert averaged.shape == frame.shape
    assert 0 < np.abs(averaged - frame).mean() < 12


# what is left behind


def test_everything_is_as_it_was_found(running, drive):
    client = client_of(running)
    world = client.get_world()
    before, weather = world.get_settings(), world.get_weather()
    other = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.audi.a2"), carla.Transform(carla.Location(x=300, y=2, z=0.2))
    )
    try:
        env = drive("hb")
        env.reset(1)
        env.step(THROTTLE)
        assert world.get_settings().synchronous_mode
        assert world.get_weather().sun_altitude_angle == -90
        mine = [a for a in world.get_actors() if a.attributes.get("role_name") == "semore"]
        assert len(mine) == 7  # ego, camera, collisions, cyclist, three oncoming
        env.close()
        env.close()
        after = world.get_settings()
        assert (after.synchronous_mode, after.fixed_delta_seconds) == (
            before.synchronous_mode,
            before.fixed_delta_seconds,
        )
        assert world.get_weather() == weather
        world.wait_for_tick()
        left = {a.id for a in world.get_actors()}
        assert other.id in left
        assert not left & {a.id for a in mine}
    finally:
        other.destroy()


def test_what_a_crashed_predecessor_left_is_swept_and_nothing_else(running, drive):
    client = client_of(running)
    world = client.get_world()
    library = world.get_blueprint_library()

    def stranded(role, x):
        blueprint = library.find("vehicle.audi.a2")
        blueprint.set_attribute("role_name", role)
        return world.spawn_actor(blueprint, carla.Transform(carla.Location(x=x, y=2, z=0.2)))

    ours, theirs = stranded("mine", 1.0), stranded("hero", 320.0)
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05  # as a crash leaves it
    world.apply_settings(settings)
    try:
        env = drive(owner_tag="mine")
        assert env.counters["swept"] == 1
        env.reset(1)
        env.close()
        assert not world.get_settings().synchronous_mode
        world.wait_for_tick()
        left = {a.id for a in world.get_actors()}
        assert theirs.id in left
        assert ours.id not in left
    finally:
        client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in (ours, theirs)], False)


# bad servers


def test_a_slow_picture_is_waited_for(drive, control):
    env = drive(timeouts=QUICK)
    env.reset(5)
    plain = env.step(THROTTLE)[0]
    env.reset(5)
    control.fault("delayed", "rgb", times=1, seconds=0.3)
    assert (env.step(THROTTLE)[0] == plain).all()


def test_doubled_pictures_change_nothing(drive, control):
    env = drive(timeouts=QUICK)
    env.reset(5)
    plain = [env.step(THROTTLE)[0] for _ in range(4)]
    env.reset(5)
    control.fault("duplicated", "rgb", times=3)
    assert all((env.step(THROTTLE)[0] == frame).all() for frame in plain)


@pytest.mark.parametrize("fault", ["missing", "late", "reordered"])
def test_a_picture_that_does_not_come_is_named(drive, control, fault):
    env = drive(timeouts=QUICK)
    env.reset(5)
    control.fault(fault, "rgb")
    with pytest.raises(CarlaTimeout, match=r"camera rgb: frame \d+ did not come within 0.6 s"):
        env.step(THROTTLE)


def test_sensors_that_miss_the_first_frames_are_warmed_up(drive, control):
    env = drive(timeouts=QUICK, ids=True)
    control.fault("missing", "*segmentation", times=6)
    env.reset(5)
    assert env.step(THROTTLE)[4]["class_ids"].any()


def test_a_camera_that_never_speaks_is_named(drive, control):
    env = drive(timeouts=QUICK, ids=True)
    control.fault("missing", "instance_segmentation")
    with pytest.raises(CarlaTimeout, match="camera of ids: no first frame"):
        env.reset(5)


def test_a_late_collision_is_counted_one_frame_later(drive, control):
    scenario = dataclasses.replace(SCENARIOS["jw"], walkers_per_side=4, crossing_probability=1.0)
    env = drive(scenario=scenario, timeouts=QUICK)
    plain, late = [], []
    for impulses, fault in ((plain, False), (late, True)):
        env.reset(2)
        if fault:
            control.fault("delayed", "collision", times=1, seconds=0.1)
        for _ in range(500):
            _, _, terminated, truncated, info = env.step(THROTTLE)
            impulses.append(info["crash_intensity_ns"])
            if terminated or truncated:
                break
    assert env.counters["late_collisions"] == 1
    assert sum(late) > 0


def test_a_tick_without_an_answer_is_a_time_out(drive, control):
    env = drive(timeouts=dataclasses.replace(QUICK, tick_s=0.7))
    env.reset(5)
    control.fault("mute", "tick_cue", times=1)
    with pytest.raises(CarlaTimeout, match="tick after frame"):
        env.step(THROTTLE)


def test_an_ego_that_somebody_destroys_is_a_lost_server(drive, control):
    env = drive(timeouts=QUICK)
    env.reset(5)
    assert control.call("destroy_actor", env._ego.actor.id)
    with pytest.raises(CarlaLost, match="ego"):
        env.step(THROTTLE)


def test_a_frame_that_somebody_else_ticked_is_skipped(drive, control):
    env = drive(timeouts=QUICK)
    env.reset(5)
    control.call("tick_cue")
    assert env.step(THROTTLE)[4]["frames"] == 1


def test_a_server_that_dies():
    with server() as process:
        timeouts = dataclasses.replace(QUICK, tick_s=0.7, close_s=0.3)
        env = make_drive(DriveSettings(scenario=SCENARIOS["jw"], port=process.port, image_size=32, timeouts=timeouts))
        env.reset(1)
        process.stop()
        with pytest.raises((CarlaLost, CarlaTimeout), match="frame"):
            env.step(THROTTLE)
        env.close()
        env.close()


def test_no_server_is_a_time_out():
    settings = DriveSettings(scenario=SCENARIOS["jw"], port=19999, timeouts=dataclasses.replace(QUICK, connect_s=0.3))
    with pytest.raises(CarlaTimeout, match=r"CARLA at 127\.0\.0\.1:19999"):
        make_drive(settings)


def test_another_version_is_refused_before_anything_else():
    with server("--version", "0.9.14") as process:
        settings = DriveSettings(scenario=SCENARIOS["jw"], port=process.port, timeouts=QUICK)
        with pytest.raises(CarlaVersionError, match=r"server 0\.9\.14 differ"):
            make_drive(settings)
        with Control(port=process.port) as control:
            assert control.counters()["actors"] <= 1


def test_the_other_map_is_loaded(drive, running):
    env = drive("hw")
    env.reset(1)
    env.close()
    assert client_of(running).get_world().get_map().name.endswith("Town04")
    env = drive("jw")
    env.reset(1)


def test_actors_that_are_not_drawn_are_refused():
    scenario = dataclasses.replace(SCENARIOS["jw"], actors_drawn=False)
    with pytest.raises(CarlaSetupError, match="actors_drawn"):
        make_drive(DriveSettings(scenario=scenario))


def test_a_traffic_manager_s_port_that_is_taken_is_named(drive):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CarlaSetupError, match=f"no Traffic Manager on port {port}"):
            drive("hb", tm_port=port)


DIES = """
import os, sys
from semore_fast.envs import SCENARIOS, on_carla
from semore_fast.envs.carla import DriveSettings, make_drive

port = int(sys.argv[1])
drive = make_drive(DriveSettings(scenario=on_carla(SCENARIOS["hb"]), port=port, tm_port=port + 3, image_size=36))
drive.reset(1)
drive.step((0.0, 1.0))
print("drove", flush=True)
os._exit(0)  # without a word to the server
"""


def test_the_next_client_takes_over_from_one_that_died_with_traffic_about():
    """The Traffic Manager of the second would abort its process over vehicles of the first, which are swept away."""
    with server() as running:
        for _ in range(3):
            command = [sys.executable, "-c", DIES, str(running.port)]
            done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
            assert "drove" in done.stdout, done.stderr
