"""Faults on demand, seen from the network: bytes and times, without the official client."""

import socket
import struct
import subprocess
import sys
import time

import pytest
from carla_processes import ENVIRONMENT, ROOT, ServerProcess, free_port, run_client, server

pytest.importorskip("msgpack")

from semore_fast.carla_server.control import Control, ControlError

CLIENT = ROOT / "tests" / "carla_fault_client.py"
SIZE = [["image_size_x", 2, "32"], ["image_size_y", 2, "32"], ["fov", 3, "60"]]
SLOW_S = 0.3


class Listener:
    """Reads one stream: the frames' numbers, None for noise."""

    def __init__(self, port, stream):
        self._socket = socket.create_connection(("127.0.0.1", port), 5.0)
        self._socket.sendall(struct.pack("<I", stream))

    def close(self):
        self._socket.close()

    def frames(self, wait_s=SLOW_S):
        """What has come when nothing more came for a while."""
        self._socket.settimeout(wait_s)
        found = []
        while (payload := self._frame()) is not None:
            kind, number = struct.unpack("<QQ", payload[:16])
            found.append(number if kind < 20 else None)
        return found

    def _frame(self):
        head = self._exactly(4)
        return None if head is None else self._exactly(struct.unpack("<I", head)[0])

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self._socket.recv(count - len(data))
            except TimeoutError:
                return None
            if not more:
                raise ConnectionError("the stream was closed")
            data += more
        return data


class Scene:
    """A synchronous world with one camera that is listened to."""

    def __init__(self, port):
        self.control = Control(port=port, timeout_s=2.0)
        settings = self.control.call("get_episode_settings")
        self.control.call("set_episode_settings", [True, False, [True, 0.05], *settings[3:]])
        at = [[0.0, 2.0, 5.0], [0.0, 0.0, 0.0]]
        camera = self.control.call("spawn_actor", [0, "sensor.camera.rgb", SIZE], at)
        (stream,) = struct.unpack_from("<I", camera[5])
        self.pictures = Listener(port + 1, stream)
        self.states = Listener(port + 1, 1)
        while not (self.tick() and self.pictures.frames(0.05)):
            pass
        self.states.frames(0.05)

    def tick(self, times=1):
        return [self.control.call("tick_cue") for _ in range(times)][-1]

    def close(self):
        self.pictures.close()
        self.states.close()
        self.control.close()


@pytest.fixture(scope="module")
def running():
    with server() as process:
        yield process


@pytest.fixture
def scene(running):
    scene = Scene(running.port)
    yield scene
    scene.control.clear_faults()
    scene.close()


@pytest.fixture
def own(running):
    """A second connection, whose calls the faults strike too."""
    with Control(port=running.port, timeout_s=SLOW_S) as control:
        yield control


def test_dropped_calls_are_neither_run_nor_answered(scene, own):
    before = scene.tick()
    scene.control.fault("drop", "tick_cue", times=1)
    with pytest.raises(ControlError, match="tick_cue"):
        own.call("tick_cue")
    assert scene.tick() == before + 1


def test_muted_calls_are_run_and_not_answered(scene, own):
    before = scene.tick()
    scene.control.fault("mute", "tick_cue", times=1)
    with pytest.raises(ControlError):
        own.call("tick_cue")
    assert scene.tick() == before + 2


def test_delayed_calls_let_others_pass(scene, own):
    scene.control.fault("delay", "get_map_*", seconds=0.2, times=1)
    start = time.monotonic()
    assert own.call("get_map_info")[0] == "Carla/Maps/Town01"
    assert time.monotonic() - start > 0.2
    start = time.monotonic()
    scene.control.call("version")
    assert time.monotonic() - start < 0.15


def test_errors_stand_in_the_error_s_place_and_after_and_times_count(scene, own):
    scene.control.fault("error", "version", after=1, times=2, message="broken")
    assert own.call("version")
    for _ in range(2):
        with pytest.raises(ControlError, match="broken"):
            own.call("version")
    assert own.call("version")
    assert scene.control.counters()["faults_struck"] >= 2


def test_garbage_is_answered_in_place_of_the_answer(scene, running):
    scene.control.fault("garbage", "version", times=1)
    with socket.create_connection(("127.0.0.1", running.port), 2.0) as peer:
        peer.sendall(bytes.fromhex("94 00 01 a7") + b"version" + bytes.fromhex("91 91 c2"))
        noise = peer.recv(100)
    assert noise[:4] == bytes.fromhex("3c000000")
    assert noise[:2] != bytes.fromhex("9401")


def test_connections_are_cut_at_a_call(scene, own):
    scene.control.fault("close", "version", times=1)
    with pytest.raises(ControlError):
        own.call("version")
    assert scene.control.call("version")


def test_all_streams_are_cut(scene):
    scene.control.close_connections("streams")
    with pytest.raises(ConnectionError):
        scene.pictures.frames()
    assert scene.control.counters()["stream_connections"] == 0


def test_every_connection_is_cut(scene, own):
    own.call("version")
    scene.control.close_connections()
    with pytest.raises(ControlError):
        own.call("version")
    scene.control = Control(port=scene.control.port)
    assert scene.control.counters()["call_connections"] == 1


def test_missing_frames(scene):
    scene.control.fault("missing", "rgb", times=2)
    last = scene.tick(3)
    assert scene.pictures.frames() == [last]
    assert scene.states.frames() == [last - 2, last - 1, last]


def test_late_frames_come_in_the_place_of_later_ones(scene):
    scene.control.fault("late", "rgb", frames=2)
    last = scene.tick(4)
    assert scene.pictures.frames() == [last - 3, last - 2]
    scene.control.clear_faults()
    assert scene.pictures.frames(0.05) == []


def test_delayed_frames_come_in_time(scene):
    scene.control.fault("delayed", "rgb", seconds=0.2)
    last = scene.tick()
    assert scene.pictures.frames(0.1) == []
    assert scene.pictures.frames(0.3) == [last]


def test_reordered_frames(scene):
    scene.control.fault("reordered", "rgb", frames=1, times=4)
    last = scene.tick(5)
    assert scene.pictures.frames() == [last - 3, last - 4, last - 1, last - 2, last]


def test_duplicated_frames(scene):
    scene.control.fault("duplicated", "world", times=1)
    last = scene.tick(2)
    assert scene.states.frames() == [last - 1, last - 1, last]


def test_garbled_frames(scene):
    scene.control.fault("garbled", "rgb", times=1)
    last = scene.tick(2)
    assert scene.pictures.frames() == [None, last]


def test_a_black_hole_takes_everything_until_it_is_closed(scene, own):
    before = scene.tick()
    scene.states.frames(0.05)
    scene.control.fault("black_hole")
    for call in ("version", "tick_cue"):
        with pytest.raises(ControlError):
            own.call(call)
    assert scene.states.frames() == []
    scene.control.clear_faults()
    assert scene.tick() == before + 1


def test_a_fault_that_does_not_exist_is_refused(scene):
    with pytest.raises(ControlError, match="fault must be one of drop, mute"):
        scene.control.fault("melt")


def test_a_stopped_reader_does_not_stop_the_server(scene, running):
    """4 MiB a picture, never read: frames are skipped once so much is unread, and memory stays."""
    big = [["image_size_x", 2, "1024"], ["image_size_y", 2, "1024"]]
    camera = scene.control.call("spawn_actor", [0, "sensor.camera.depth", big], [[0.0, 2.0, 5.0], [0.0, 0.0, 0.0]])
    lazy = Listener(running.port + 1, struct.unpack_from("<I", camera[5])[0])
    for _ in range(20):
        scene.tick()
    counters = scene.control.counters()
    lazy.close()
    assert scene.control.call("destroy_actor", camera[0])
    assert counters["frames_skipped"] > 0


def test_a_hanging_server_answers_nobody_and_can_be_killed():
    process = ServerProcess()
    try:
        with Control(port=process.port, timeout_s=SLOW_S) as own, Control(port=process.port, timeout_s=SLOW_S) as other:
            other.fault("hang", "version")
            for control in (own, other):
                with pytest.raises(ControlError):
                    control.call("version")
        assert process.ended_within(0.0) is None
    finally:
        process.stop()
    assert process.process.returncode == -9


@pytest.mark.parametrize("way", ["call", "fault"])
def test_the_server_s_process_ends(way):
    with server() as process, Control(port=process.port) as control:
        if way == "call":
            control.exit(7)
        else:
            control.fault("exit", "version")
            with pytest.raises(ControlError):
                control.call("version")
        assert process.ended_within(5.0) == (7 if way == "call" else 1)


def test_a_busy_port_is_named_and_may_be_free_later(running):
    for port in (running.port, running.port - 1):  # the second is free itself, but not the one beside it
        command = [sys.executable, "-m", "semore_fast.carla_server", "--port", str(port)]
        done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
        assert done.returncode == 75
        assert done.stderr.startswith("error: --port: ")
        assert "is in use" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_bad_flags_and_the_help():
    command = [sys.executable, "-m", "semore_fast.carla_server"]
    done = subprocess.run([*command, "--port", "65535"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: --port must be in [1, 65534], got 65535\n")
    done = subprocess.run([*command, "--help"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "This is NOT CARLA" in done.stdout


def test_nobody_to_ask():
    with pytest.raises(ControlError, match="no server at"):
        Control(port=free_port())


def test_the_official_client_meets_faults(running):
    pytest.importorskip("carla")
    found = run_client(CLIENT, str(running.port))
    assert "time-out" in found["drop"][0]
    assert 0.4 < found["drop"][1] < 3.0
    assert "get_weather_parameters" in found["error"]
    assert found["again"] == found["version"]
    assert found["late"] == -1
    assert found["missing"] == [False, True]
    assert found["duplicated"] == 2
