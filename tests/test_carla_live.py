"""A real CARLA server's answers against our tables, for owners of one: `--carla-live HOST:PORT`.

It only looks: nothing is spawned, changed or ticked. `--carla-trace FILE` does the same with a recording. Without
either, our own server is recorded and looked at, so that these checks are known to work.
"""

import socket
import struct
import subprocess
import sys

import pytest
from carla_processes import ENVIRONMENT, ROOT, ServerProcess, free_port, run_client, server

pytest.importorskip("msgpack")

from semore_fast.carla_server import trace, wire
from semore_fast.carla_server.blueprints import blueprints
from semore_fast.carla_server.control import Control
from semore_fast.carla_server.record import parse_address
from semore_fast.carla_server.versions import version_of
from semore_fast.errors import UserError


@pytest.fixture(scope="module")
def address(request):
    return parse_address("--carla-live", request.config.getoption("--carla-live"))


@pytest.fixture(scope="module")
def live(address):
    with Control(*address) as control:
        yield control


@pytest.fixture(scope="module")
def version(live):
    return version_of(live.call("version"))


@pytest.mark.carla_live
def test_the_episode(live, address):
    number, (token,) = live.call("get_episode_info")
    assert isinstance(number, int)
    assert len(token) == wire.TOKEN_BYTES
    stream, port, protocol, _ = struct.unpack("<IHBB16x", token)
    assert (stream, port, protocol) == (1, address[1] + 1, 1)


@pytest.mark.carla_live
def test_the_settings_and_the_weather(live):
    settings = live.call("get_episode_settings")
    assert [type(value) for value in settings[:2]] == [bool, bool]
    assert settings[2][0] in (True, False)
    assert 10 <= len(settings) <= 11
    weather = live.call("get_weather_parameters")
    assert 13 <= len(weather) <= 14
    assert -90 <= weather[5] <= 90  # height of the sun


@pytest.mark.carla_live
def test_the_map(live):
    name, points = live.call("get_map_info")
    assert "Maps/" in name
    for location, rotation in points:
        assert len(location) == len(rotation) == 3
    assert live.call("get_map_data").lstrip().startswith("<?xml")


@pytest.mark.carla_live
def test_our_blueprints_are_the_server_s(live, version):
    theirs = {name: (tags, attributes) for _, name, tags, attributes in live.call("get_actor_definitions")}
    differ = []
    for name, blueprint in blueprints().items():
        if name not in theirs:
            differ.append(f"{name}: the server has none")
            continue
        types = {attribute[0]: attribute[1] for attribute in theirs[name][1]}
        for key, number, *_ in blueprint.packed(0, version)[3]:
            if not key.startswith("semore_") and types.get(key, number) != number:
                differ.append(f"{name}: {key} is of type {types[key]}, ours {number}")
    assert differ == []


@pytest.mark.carla_live
def test_the_world_s_state(live, address, version):
    if live.call("get_episode_settings")[0]:
        pytest.skip("the server is in synchronous mode: no state comes without a tick")
    with socket.create_connection((address[0], address[1] + 1), 10.0) as stream:
        stream.sendall(struct.pack("<I", 1))
        stream.settimeout(10.0)
        file = stream.makefile("rb")
        payload = file.read(struct.unpack("<I", file.read(4))[0])
    frame = trace.Frame(0.0, 1, "streams", True, len(payload), payload)
    assert trace.unexplained([frame], version) == []
    assert version.sensors[wire.HEADER.unpack_from(payload)[0]] == "world"


def recording_version(frames):
    """What the recorded server said its version is."""
    for frame in frames:
        if frame.port == "calls" and frame.from_server:
            for message in trace.messages(frame.data):
                if isinstance(message[3], list) and isinstance(message[3][0][-1], str):
                    return version_of(message[3][0][1])
    raise AssertionError("the recording has no answer to `version`")


def test_a_recording(request, tmp_path):
    path = request.config.getoption("--carla-trace") or record_our_own(tmp_path)
    frames = list(trace.read(path))
    assert trace.unexplained(frames, recording_version(frames)) == []
    assert {(frame.port, frame.from_server) for frame in frames} >= {
        ("calls", True),
        ("calls", False),
        ("streams", True),
    }


def record_our_own(folder):
    """A recording of the official client on our own server."""
    pytest.importorskip("carla")
    path = folder / "own.trace"
    with server() as running:
        port = free_port()
        flags = [str(path), "--live", f"127.0.0.1:{running.port}", "--port", str(port)]
        command = [sys.executable, "-m", "semore_fast.carla_server.record", *flags]
        recorder = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        try:
            assert "recording" in recorder.stdout.readline()
            steps = ("ticks", "pictures", "collisions", "batches")
            seen = run_client(ROOT / "tests" / "carla_client.py", str(port), str(folder), *steps)
            assert not [name for name in steps if "failed" in seen[name]], seen
        finally:
            recorder.send_signal(2)
            try:
                rest = recorder.communicate(timeout=20)[0]
            finally:
                recorder.kill()
    assert "frames" in rest
    return path


def test_what_our_tables_do_not_explain_is_named(tmp_path):
    version = version_of("0.9.16")

    def stream(kind, rest):
        data = struct.pack("<QQd6f", kind, 1, 0.05, *[0.0] * 6) + rest
        return trace.Frame(0.0, 1, "streams", True, len(data), data)

    assert trace.unexplained([stream(17, bytes(36 + 119))], version) == []
    assert "no whole number of actors" in trace.unexplained([stream(17, bytes(36 + 118))], version)[0]
    assert "type 18" in trace.unexplained([stream(18, b"")], version)[0]
    assert (
        "no picture of 2 x 2"
        in trace.unexplained([stream(13, struct.pack("<IIf", 2, 2, 90.0) + bytes(15))], version)[0]
    )
    answer = trace.Frame(0.0, 1, "calls", True, 5, bytes.fromhex("94 01 01 c0 91"))
    assert trace.unexplained([answer], version) == []  # half a message is none
    answer = trace.Frame(0.0, 1, "calls", True, 5, bytes.fromhex("94 01 01 c0 c0"))
    assert "an answer to no question" in trace.unexplained([answer], version)[0]
    (tmp_path / "no.trace").write_bytes(b"hello")
    with pytest.raises(UserError, match="not a recording"):
        list(trace.read(tmp_path / "no.trace"))


@pytest.mark.slow
def test_the_live_checks_pass_on_our_own_server():
    process = ServerProcess()
    try:
        flags = ["-q", "-m", "carla_live", "--carla-live", f"127.0.0.1:{process.port}", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *flags, __file__]
        done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    finally:
        process.stop()
    assert "5 passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
