"""CARLA's messages byte by byte. Every expected byte is written out here, none made by the code under test."""

import asyncio
import struct

import numpy as np
import pytest

msgpack = pytest.importorskip("msgpack")

from semore_fast.carla_server import wire  # noqa: E402
from semore_fast.carla_server.maps import MAPS  # noqa: E402
from semore_fast.carla_server.rpc import RpcConnection  # noqa: E402
from semore_fast.carla_server.server import Server  # noqa: E402
from semore_fast.carla_server.streams import StreamConnection  # noqa: E402
from semore_fast.carla_server.versions import installed_version, version_of  # noqa: E402
from semore_fast.errors import UserError  # noqa: E402

VERSIONS = ("0.9.13", "0.9.14", "0.9.15", "0.9.16")
PORT = 2001  # of the streams


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data):
        self.written += bytes(data)

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.aborted = True

    close = abort

    def get_extra_info(self, name, default=None):
        return self

    def setsockopt(self, *ignored):
        pass


class Peer:
    """A server without a network, and one connection for calls."""

    def __init__(self, version="0.9.16", town="Town01"):
        self.server = Server(version_of(version), MAPS[town], 0)
        self.server.streams.port = PORT
        self.connection, self.wire = RpcConnection(self.server), Wire()
        self.connection.connection_made(self.wire)

    def ask(self, request: bytes) -> bytes:
        """Sends bytes, and returns what was written in answer."""
        self.wire.written = b""
        self.connection.data_received(request)
        return self.wire.written

    def call(self, name, *arguments):
        """The same with msgpack, for what a test does not look at byte by byte; the answer's value."""
        answer = msgpack.unpackb(self.ask(msgpack.packb([0, 7, name, [[False], *arguments]])), strict_map_key=False)
        assert answer[:3] == [1, 7, None], answer
        return answer[3]

    def listen(self, stream: int) -> Wire:
        """A connection to a stream."""
        connection, transport = StreamConnection(self.server.streams), Wire()
        connection.connection_made(transport)
        connection.data_received(struct.pack("<I", stream))
        return transport

    def spawn(self, name, x, y, *, parent=None, yaw=0.0, attributes=()):
        description = [1, name, [list(attribute) for attribute in attributes]]
        transform = [[x, y, 0.0], [0.0, yaw, 0.0]]
        if parent is None:
            return self.call("spawn_actor", description, transform)[0][1]
        return self.call("spawn_actor_with_parent", description, transform, parent, 0)[0][1]

    def synchronous(self):
        settings = self.call("get_episode_settings")[0][1]
        self.call("set_episode_settings", [True, settings[1], [True, 0.05], *settings[3:]])


def text(value: str) -> bytes:
    """A msgpack string of fewer than 32 bytes."""
    return bytes([0xA0 | len(value)]) + value.encode()


def single(value: float) -> bytes:
    return b"\xca" + struct.pack(">f", value)


def double(value: float) -> bytes:
    return b"\xcb" + struct.pack(">d", value)


def test_a_request_and_its_answer():
    request = bytes.fromhex("94 00 01") + text("version") + bytes.fromhex("91 91 c2")  # [0, 1, "version", [[false]]]
    answer = bytes.fromhex("94 01 01 c0 91 92 01") + text("0.9.16")  # [1, 1, nil, [[1, "0.9.16"]]]
    assert Peer().ask(request) == answer


def test_a_request_may_come_in_pieces_and_two_in_one():
    peer = Peer()
    request = bytes.fromhex("94 00 05") + text("version") + bytes.fromhex("91 91 c2")
    assert [peer.ask(request[i : i + 1]) for i in range(len(request) - 1)] == [b""] * (len(request) - 1)
    answer = peer.ask(request[-1:] + request)
    assert len(answer) == 2 * len(bytes.fromhex("94 01 05 c0 91 92 01") + text("0.9.16"))


def test_an_unknown_call_is_named_in_the_error_s_place():
    answer = Peer().ask(bytes.fromhex("94 00 02") + text("nope") + bytes.fromhex("91 91 c2"))
    assert answer.startswith(bytes.fromhex("94 01 02 d9"))  # [1, 2, str8 ...
    assert b"'nope'" in answer
    assert answer.endswith(b"\xc0")  # ..., nil]


def test_a_call_that_is_done_and_one_that_is_refused():
    unload = bytes.fromhex("94 00 03") + text("unload_map_layer") + bytes.fromhex("92 91 c2 01")
    assert Peer().ask(unload) == bytes.fromhex("94 01 03 c0 91 91 c2")  # [1, 3, nil, [[false]]]
    move = bytes.fromhex("94 00 04") + text("set_actor_dead") + bytes.fromhex("92 91 c2 63")
    message = "actor not found: 99 is not in this world"
    expected = bytes.fromhex("94 01 04 c0 91 92 c3 91 d9") + bytes([len(message)]) + message.encode()
    assert Peer().ask(move) == expected  # [1, 4, nil, [[true, [message]]]]


def test_arguments_that_make_no_sense_are_answered_too(capsys):
    answer = Peer().call("spawn_actor", "nonsense", None)
    assert answer[0][0] == 0
    assert "spawn_actor" in answer[0][1][0]
    assert "Traceback" in capsys.readouterr().err


def test_what_is_not_msgpack_rpc_closes_the_connection(capsys):
    for garbage in (b"\xc1\xc1\xc1", b"\x05", bytes.fromhex("92 00 01")):
        peer = Peer()
        peer.ask(garbage)
        assert peer.wire.aborted
    assert "not msgpack-rpc" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("version", "types"),
    [
        ("0.9.13", {"collision": 0, "depth": 1, "gnss": 3, "imu": 4, "rgb": 12, "world": 15}),
        ("0.9.14", {"collision": 0, "depth": 1, "gnss": 4, "imu": 5, "rgb": 13, "world": 16}),
        ("0.9.15", {"collision": 0, "depth": 1, "gnss": 4, "imu": 5, "rgb": 13, "world": 16}),
        ("0.9.16", {"collision": 0, "depth": 1, "gnss": 4, "imu": 5, "rgb": 13, "world": 17}),
    ],
)
def test_numbers_of_frames_by_version(version, types):
    table = version_of(version)
    assert {sensor: table.sensor_type(sensor) for sensor in types} == types
    after_rgb = table.sensor_type("rgb")
    assert table.sensor_type("semantic_segmentation") == after_rgb + 1
    assert table.sensor_type("instance_segmentation") == after_rgb + 2


@pytest.mark.parametrize("version", VERSIONS)
def test_numbers_of_batch_commands_by_version(version):
    commands = version_of(version).commands
    if version == "0.9.13":
        assert (commands.index("walker_control"), commands.index("transform"), commands.index("lights")) == (3, 5, 17)
        assert len(commands) == 18
    else:
        assert (commands.index("walker_control"), commands.index("transform"), commands.index("lights")) == (4, 6, 18)
        assert (commands.index("location"), len(commands)) == (19, 22)


def test_an_unknown_version_is_a_user_s_error():
    with pytest.raises(UserError, match=r"--version must be one of 0\.9\.13"):
        version_of("0.9.12")
    assert installed_version() in VERSIONS


TOKEN = bytes.fromhex("01000000 d107 01 00") + bytes(16)  # stream 1, port 2001, TCP, no address


def test_a_token():
    assert wire.token(1, 2001) == TOKEN
    assert wire.token_stream(bytes.fromhex("2a000000 d107 01 00") + bytes(16)) == 42


def test_the_episode_s_number_and_where_its_state_comes_from():
    request = bytes.fromhex("94 00 01") + text("get_episode_info") + bytes.fromhex("91 91 c2")
    # [1, 1, nil, [[1, [1, [bin8 of 24 bytes]]]]]
    assert Peer().ask(request) == bytes.fromhex("94 01 01 c0 91 92 01 92 01 91 c4 18") + TOKEN


def test_settings_have_doubles():
    request = bytes.fromhex("94 00 01") + text("get_episode_settings") + bytes.fromhex("91 91 c2")
    expected = bytes.fromhex("94 01 01 c0 91 92 01 9b c2 c2 91 c2 c3") + double(0.01) + b"\x0a" + double(0)
    expected += b"\xc2" + double(3000) + double(2000) + b"\xc3"
    assert Peer().ask(request) == expected


def definition(version: str, name: str) -> list:
    return next(d for d in Peer(version).call("get_actor_definitions")[0][1] if d[1] == name)


@pytest.mark.parametrize("version", VERSIONS)
def test_types_of_attributes_by_version(version):
    base = 1 if version == "0.9.16" else 0
    _, _, tags, attributes = definition(version, "sensor.camera.rgb")
    types = {name: (kind, value) for name, kind, value, *_ in attributes}
    assert tags == "sensor,camera,rgb"
    assert types["image_size_x"] == (base + 1, "800")
    assert types["fov"] == (base + 2, "90.0")
    assert types["enable_postprocess_effects"] == (base, "true")
    assert types["role_name"][0] == base + 3
    _, _, _, attributes = definition(version, "vehicle.tesla.model3")
    colour = next(a for a in attributes if a[0] == "color")
    assert colour[1:3] == [base + 4, "24,50,120"]
    assert colour[4:] == [True, False]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_actor(version):
    peer = Peer(version)
    description = (
        bytes.fromhex("93 05") + text("vehicle.audi.a2") + b"\x91\x93" + text("color") + b"\x05" + text("1,2,3")
    )
    transform = b"\x92\x93" + single(10) + single(2) + single(0) + b"\x93" + 3 * single(0)
    request = bytes.fromhex("94 00 09") + text("spawn_actor") + bytes.fromhex("93 91 c2") + description + transform
    answer = peer.ask(request)
    number = bytes.fromhex("cd 04 01")  # 1025: the spectator was 1024
    box = b"\x93" + single(0) + single(0) + single(0.75) + b"\x93" + single(2.3) + single(0.925) + single(0.75)
    box += b"\x93" + 3 * single(0)
    box = b"\x94" + box + number if version == "0.9.16" else b"\x93" + box
    tag = 10 if version == "0.9.13" else 14
    tail = b"\xc4\x01" + bytes([tag]) + b"\xc4\x00"  # one semantic tag, no stream
    expected = bytes.fromhex("94 01 09 c0 91 92 01 96") + number + b"\x00" + description + box + tail
    assert answer == expected


def test_parts_of_records():
    vehicle = wire.vehicle_part((0.5, -0.25, 1.0, True, False, True, 3), 30.0)
    hand_made = bytes.fromhex("0000003f 000080be 0000803f 01 00 01 03000000 0000f041 02 00 00000000 00")
    assert vehicle == hand_made + bytes(24)
    walker = wire.walker_part((0.0, -1.0, 0.0), 2.0, False)
    assert walker == bytes.fromhex("00000000 000080bf 00000000 00000040 00") + bytes(37)
    assert wire.ACTOR_RECORD.itemsize == 119


@pytest.mark.parametrize(("version", "number"), [("0.9.13", 15), ("0.9.14", 16), ("0.9.15", 16), ("0.9.16", 17)])
def test_the_world_s_state(version, number):
    peer = Peer(version)
    peer.synchronous()
    car = peer.spawn("vehicle.tesla.model3", 10.0, 2.0, yaw=90.0)[0]
    state = peer.listen(1)
    assert peer.call("tick_cue") == [[1, 1]]
    header = struct.pack("<I", 48 + 36 + 2 * 119) + struct.pack("<QQd6f", number, 1, 0.05, *[0.0] * 6)
    assert state.written[:52] == header
    episode, clock_s, dt_s, *origin, flags = struct.unpack("<Qdf3iI", state.written[52:88])
    assert (episode, origin, flags) == (1, [0, 0, 0], 1)  # the map is new
    assert 0 <= clock_s < 60
    assert dt_s == np.float32(0.05)
    records = state.written[88:]
    assert len(records) == 2 * 119
    number_, alive, *numbers = struct.unpack("<IB15f", records[:65])
    assert (number_, alive) == (car, 1)
    np.testing.assert_allclose(numbers, [10, 2, 0, 0, 90, 0] + 9 * [0], atol=2e-6)
    assert records[65:119] == bytes.fromhex("00" * 19 + "0000f041 02 00 00000000 00") + bytes(24)
    spectator, alive, x, y, z, pitch, *_ = struct.unpack("<IB15f", records[119:184])
    assert (spectator, alive, x, y, z, pitch) == (1024, 1, -8.0, 2.0, 5.0, -15.0)
    state.written = b""
    peer.call("tick_cue")
    assert struct.unpack("<QQd", state.written[4:28])[1:] == (2, 0.1)
    assert state.written[84:88] == bytes(4)  # no longer new


def test_a_picture_s_frame():
    peer = Peer("0.9.15")
    peer.synchronous()
    car = peer.spawn("vehicle.tesla.model3", 10.0, 2.0)[0]
    size = [("image_size_x", 1, "32"), ("image_size_y", 1, "16"), ("fov", 2, "60")]
    camera = peer.spawn("sensor.camera.semantic_segmentation", 1.0, 0.0, parent=car, attributes=size)
    assert camera[5] == struct.pack("<IHBB16x", 2, PORT, 1, 0)
    frames = peer.listen(2)
    peer.call("tick_cue")
    assert len(frames.written) == 4 + 48 + 12 + 32 * 16 * 4
    header = struct.pack("<I", 48 + 12 + 2048) + struct.pack("<QQd6f", 14, 1, 0.05, 11.0, 2.0, 0.0, 0.0, 0.0, 0.0)
    assert frames.written[:52] == header
    assert frames.written[52:64] == bytes.fromhex("20000000 10000000 00007042")  # 32, 16, 60 degrees
    pixels = np.frombuffer(frames.written[64:], np.uint8).reshape(16, 32, 4)
    assert (pixels[..., :2] == 0).all()
    assert (pixels[..., 3] == 255).all()
    assert {1, 11} <= set(pixels[..., 2].ravel().tolist())  # road and sky


def test_a_collision_s_frame():
    peer = Peer()
    peer.synchronous()
    car = peer.spawn("vehicle.tesla.model3", 10.0, 2.0)
    sensor = peer.spawn("sensor.other.collision", 0.0, 0.0, parent=car[0])
    assert sensor[5][:4] == bytes.fromhex("02000000")
    frames = peer.listen(2)
    walker = peer.spawn("walker.pedestrian.0001", 14.0, 2.0)
    peer.call("set_actor_target_velocity", car[0], [10.0, 0.0, 0.0])
    for _ in range(10):
        peer.call("tick_cue")
        if frames.written:
            break
    kind, frame, _, x, y, *_ = struct.unpack("<QQd6f", frames.written[4:52])
    assert kind == 0
    assert frame == peer.server.episode.frame
    assert y == 2.0
    assert 10.0 < x < 14.0
    itself, other, impulse = msgpack.unpackb(frames.written[52 : 4 + struct.unpack("<I", frames.written[:4])[0]])
    assert (itself, other) == (car, walker)
    assert impulse[0] < -1000  # the blow pushes the car back
    assert frames.written[-15:-10] == single(impulse[0])


def test_frames_of_position_and_inertia():
    peer = Peer()
    peer.synchronous()
    car = peer.spawn("vehicle.tesla.model3", 111.319490793, 2.0)[0]
    peer.spawn("sensor.other.gnss", 0.0, 0.0, parent=car)
    peer.spawn("sensor.other.imu", 0.0, 0.0, parent=car)
    gnss, imu = peer.listen(2), peer.listen(3)
    peer.call("tick_cue")
    assert gnss.written[:20] == struct.pack("<IQQ", 48 + 28, 4, 1)
    latitude, longitude, altitude = struct.unpack(">xxdxdxd", gnss.written[52:])
    assert gnss.written[52:54] == b"\x93\xcb"
    assert longitude == pytest.approx(0.001, rel=1e-6)
    assert latitude == pytest.approx(-2 / 111319.49, rel=1e-6)
    assert altitude == 0
    assert imu.written[:20] == struct.pack("<IQQ", 48 + 38, 5, 1)
    assert imu.written[52:54] == b"\x93\x93"
    assert imu.written[64:70] == single(9.81) + b"\x93"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch(version):
    peer = Peer(version)
    peer.synchronous()
    older = version == "0.9.13"
    transform = b"\x92\x93" + single(30) + single(2) + single(0) + b"\x93" + 3 * single(0)
    description = b"\x93\x01" + text("walker.pedestrian.0003") + b"\x90"
    control = b"\x93\x93" + single(0) + single(-1) + single(0) + single(2.0) + b"\xc2"
    after = b"\x91\x91\x92" + (b"\x03" if older else b"\x04") + b"\x92\x00" + control  # [[[4, [0, control]]]]
    socket = b"\x00\xa0" if version == "0.9.16" else b""  # how to attach, and to which socket
    spawn = b"\x91\x92\x00" + (b"\x96" if socket else b"\x94") + description + transform + b"\x91\xc2" + socket + after
    destroy = bytes.fromhex("91 92 01 91 63")  # [[1, [99]]]
    batch = bytes.fromhex("94 00 0b") + text("apply_batch") + b"\x93\x91\xc2\x92" + spawn + destroy + b"\xc2"
    message = "actor not found: 99 is not in this world"
    expected = (
        bytes.fromhex("94 01 0b c0 92 91 92 01 cd 04 01 91 92 00 91 d9") + bytes([len(message)]) + message.encode()
    )
    assert peer.ask(batch) == expected
    state = peer.listen(1)
    peer.call("tick_cue")
    walker = state.written[88 : 88 + 119]
    assert walker[65:82] == bytes.fromhex("00000000 000080bf 00000000 00000040 00")
    vx, vy = struct.unpack("<2f", walker[29:37])
    assert (vx, vy) == (0.0, pytest.approx(-2.0))


def test_environment_objects():
    peer = Peer()
    box = [[[0.0] * 3] * 3 + [0]]
    assert peer.call("get_environment_objects", 6) == [[1, [[[[0.0] * 3] * 2, *box, 1, "lamp_posts", 6]]]]
    assert peer.call("get_environment_objects", 21) == [[1, []]]
    assert len(peer.call("get_environment_objects", 255)[0][1]) == 4
    assert peer.call("enable_environment_objects", [1], False) == [[False]]
    assert peer.server.episode.stage.poles is False


def test_traffic_managers_are_kept_by_port():
    peer = Peer()
    assert peer.call("is_traffic_manager_running", 8000) == [[1, False]]
    assert peer.call("add_traffic_manager_running", ["127.0.0.1", 8000]) == [[1, True]]
    assert peer.call("add_traffic_manager_running", ["127.0.0.1", 8000]) == [[1, False]]
    assert peer.call("get_traffic_manager_running", 8000) == [[1, ["127.0.0.1", 8000]]]
    assert peer.call("destroy_traffic_manager", 8000) == [[1, True]]
    assert peer.call("is_traffic_manager_running", 8000) == [[1, False]]


def test_a_stream_that_does_not_exist_is_closed():
    assert Peer().listen(77).aborted


def test_the_scene_can_be_chosen_beyond_carla_s_calls():
    peer = Peer()
    camera = peer.spawn(
        "sensor.camera.rgb", 0.0, 2.0, attributes=[("image_size_x", 1, "64"), ("image_size_y", 1, "64")]
    )
    pictures = peer.listen(2)
    peer.synchronous()
    peer.call("set_weather_parameters", [30, 0, 0, 0, 0, -90, 20, 0, 0, 0, 0, 0, 0, 0])  # midnight

    def picture():
        pictures.written = b""
        peer.call("tick_cue")
        return pictures.written[64:]

    assert camera[5][:4] == b"\x02\0\0\0"
    lit = picture()
    peer.call("semore.street_lights", False)
    dark = picture()
    assert sum(dark) < sum(lit)
    peer.call("semore.street_lights", None)
    assert picture() == lit
    peer.call("enable_environment_objects", [1], False)
    assert picture() == dark
    peer.call("semore.scenery", 9)
    assert picture() != dark
    assert peer.call("semore.clock", 100) == [[1, True]]
    assert peer.call("semore.counters")[0][1]["streams"] == 2


def test_small_calls_have_answers_of_the_right_kind():
    peer = Peer()
    car = peer.spawn("vehicle.ford.ambulance", 30.0, 2.0)[0]
    assert peer.call("set_vehicle_light_state", car, [0xFFFFFFFF]) == [[False]]
    assert peer.call("get_vehicle_light_state", car) == [[1, [0xFFFFFFFF]]]
    assert peer.call("get_vehicle_light_states") == [[1, [[car, 0xFFFFFFFF]]]]
    physics = peer.call("get_physics_control", car)[0][1]
    assert len(physics) == 17
    assert len(physics[15]) == 4
    physics[7] = 0.01  # time of a gear's change
    assert peer.call("apply_physics_control", car, physics) == [[False]]
    assert peer.call("get_physics_control", car)[0][1][7] == pytest.approx(0.01)
    assert peer.call("set_actor_location", car, [40.0, -2.0, 0.0]) == [[False]]
    assert peer.server.episode.pose_of(peer.server.episode.actors[car])[:2] == (40.0, -2.0)
    assert peer.call("get_navigation_mesh") == [[1, b""]]
    assert peer.call("get_required_files", "Nav") == [[1, []]]
    assert peer.call("query_lights_state", "127.0.0.1:2000") == [[1, []]]
    assert peer.call("get_available_maps") == [[1, ["/Game/Carla/Maps/Town01", "/Game/Carla/Maps/Town04"]]]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ([("image_size_x", 2, "15")], "image_size_x"),
        ([("image_size_y", 2, "4096")], "image_size_x and image_size_y"),
        ([("fov", 3, "180")], "fov"),
        ([("fov", 3, "wide")], "wide"),
    ],
)
def test_cameras_that_make_no_picture_are_refused(attributes, reason):
    peer = Peer()
    description = [1, "sensor.camera.rgb", [list(attribute) for attribute in attributes]]
    ((kind, (message,)),) = peer.call("spawn_actor", description, [[0.0] * 3, [0.0] * 3])
    assert kind == 0
    assert reason in message
    assert peer.call("semore.counters")[0][1]["streams"] == 1


def test_what_cannot_be_spawned_says_why():
    peer = Peer()

    def reason(name, x, y, *parent):
        call = "spawn_actor_with_parent" if parent else "spawn_actor"
        return peer.call(call, [1, name, []], [[x, y, 0.0], [0.0] * 3], *parent)[0]

    assert "no blueprint 'vehicle.none'" in reason("vehicle.none", 0, 0)[1][0]
    peer.spawn("vehicle.audi.a2", 10.0, 2.0)
    occupied = [0, ["Spawn failed because of collision at spawn position"]]
    assert reason("walker.pedestrian.0001", 10.5, 2.0) == occupied
    assert "not found" in reason("sensor.other.imu", 0, 0, 4711)[1][0]
    for i in range(32):
        peer.spawn("vehicle.audi.a2", 20.0 + 6 * i, 2.0)
    assert "Spawn failed: " in reason("vehicle.audi.a2", 20.0, -2.0)[1][0]
    assert "finite" in reason("vehicle.audi.a2", float("nan"), 0)[1][0]


def test_sensors_outlive_their_parent_where_it_was():
    peer = Peer()
    peer.synchronous()
    car = peer.spawn("vehicle.audi.a2", 10.0, 2.0)[0]
    size = [("image_size_x", 2, "32"), ("image_size_y", 2, "32")]
    camera = peer.spawn("sensor.camera.rgb", 1.0, 0.0, parent=car, attributes=size)[0]
    sensor = peer.spawn("sensor.other.collision", 0.0, 0.0, parent=car)[0]
    pictures = peer.listen(2)
    peer.call("tick_cue")
    assert peer.call("destroy_actor", car) == [[1, True]]
    pictures.written = b""
    peer.call("tick_cue")
    assert struct.unpack("<2f", pictures.written[28:36]) == (11.0, 2.0)
    assert peer.call("destroy_actor", camera) == [[1, True]]
    assert peer.call("destroy_actor", sensor) == [[1, True]]
    assert peer.call("destroy_actor", sensor)[0][0] == 0
    assert "spectator" in peer.call("destroy_actor", 1024)[0][1][0]


def test_a_sensor_s_own_tick():
    peer = Peer()
    peer.synchronous()
    size = [("image_size_x", 2, "32"), ("image_size_y", 2, "32"), ("sensor_tick", 3, "0.1")]
    peer.spawn("sensor.camera.rgb", 0.0, 2.0, attributes=size)
    pictures = peer.listen(2)
    for _ in range(6):
        peer.call("tick_cue")
    assert len(pictures.written) == 3 * (64 + 32 * 32 * 4)


def test_a_tick_s_length_is_the_client_s():
    peer = Peer()
    settings = peer.call("get_episode_settings")[0][1]
    peer.call("set_episode_settings", [True, False, [True, 0.02], *settings[3:]])
    state = peer.listen(1)
    peer.call("tick_cue")
    assert struct.unpack("<d", state.written[20:28]) == (0.02,)
    refused = peer.call("set_episode_settings", [True, False, [True, 5.0], *settings[3:]])
    assert refused[0][0] == 0
    assert peer.call("get_episode_settings")[0][1][2] == [True, 0.02]
