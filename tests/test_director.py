"""The director draws, orders and judges as the embedded simulator: its orders, followed exactly, give its walkers."""

import dataclasses

import numpy as np
import pytest

from semore_fast import _C
from semore_fast.envs import SCENARIOS, DrivingVectorEnv

SEEDS = [3, 2**63 + 11, 0]
DT = np.float32(0.05)


class Followed:
    """A world that does what the director says: float32 sums, like every simulator's."""

    def __init__(self, scenario, seed):
        self.director = _C.Director(scenario.to_dict())
        self.director.start(seed)
        places = self.director.walkers()
        self.walkers = np.zeros(len(places), _C.SEEN_DTYPE)
        self.walkers["x_m"], self.walkers["y_m"] = places["x_m"], places["y_m"]
        vehicles = self.director.vehicles()
        self.vehicles = np.zeros(len(vehicles), _C.SEEN_DTYPE)
        self.vehicles["x_m"], self.vehicles["y_m"] = vehicles["x_m"], vehicles["y_m"]
        self.speed = np.zeros(len(places), np.float32)

    def tick(self, ego_x_m):
        orders, _ = self.director.advance(ego_x_m=ego_x_m, walkers=self.walkers, vehicles=self.vehicles)
        for slot, row in enumerate(orders):
            if row["order"] == 3:
                self.walkers[slot] = (row["place"]["x_m"], row["place"]["y_m"], 0)
            self.walkers["y_m"][slot] += row["speed_y_mps"] * DT
        self.speed = np.where(orders["order"] == 2, 0, orders["speed_y_mps"])
        return orders


def simulator(scenario, seed, image_size=16):
    env = DrivingVectorEnv(scenario, image_size=image_size, autoreset="disabled")
    results = env._arrays()
    env._simulator.reset(np.array([seed], np.uint64), np.ones(1, bool), results.handle)
    env._started = True
    return env, results


def people_around(world, ego_x_m, ego_y_m):
    """The rows of info["actors"] for the nearest walkers."""
    dx, dy = world.walkers["x_m"] - ego_x_m, world.walkers["y_m"] - ego_y_m
    nearest = np.argsort(dx * dx + dy * dy, kind="stable")[: _C.ACTOR_ROWS]
    return [(1 + i, dx[i], dy[i], world.speed[i]) for i in nearest]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("drive", [0.0, 1.0], ids=["still", "driving"])
def test_walkers_who_follow_the_orders_are_the_embedded_walkers(seed, drive):
    lane_y = np.float32(-2.0)
    scenario = dataclasses.replace(
        SCENARIOS["jw"],
        group_spacing_m=20.0,
        stuck_check_frames=10_000,
        crossing_probability=0.02 if drive else 0.5,  # a hit would end the comparison
    )
    env, results = simulator(scenario, seed)
    world = Followed(scenario, seed)
    x = np.float32(world.director.ego_place()["x_m"])
    at = {"y_m": lane_y, "yaw_rad": 0, "vy_mps": 0, "steer": 0, "crash_intensity_ns": 0, "new_hits": 0}
    for _ in range(scenario.warmup_frames):
        world.tick(x)
        world.director.judge(x_m=x, vx_mps=0, drive=0, **at)
    world.director.begin()
    info = env._info(results)
    arrivals = fresh = 0
    for _ in range(300):
        rows = info["actors"][0]
        theirs = people_around(world, x, lane_y)
        assert [(r[1], r[3], r[5]) for r in rows] == [(i, dy, speed) for i, _, dy, speed in theirs]
        assert rows[:, 2] == pytest.approx([dx for _, dx, _, _ in theirs], abs=1e-4)  # x below came from a difference
        _, _, ended, _, info = env.step([[0.0, drive]])
        if ended[0] or info["new_hits"][0]:
            break
        orders = world.tick(x)
        arrivals += int((orders["order"] == 2).sum())
        fresh += int((orders["order"] == 3).sum())
        # The embedded car's own x, told by a walker of known place: who walks, walks across.
        walker = info["actors"][0][0]
        x = np.float32(world.walkers["x_m"][int(walker[1]) - 1] - walker[2])
        world.director.judge(x_m=x, vx_mps=1, drive=0, **at)
    assert arrivals > 0 or drive
    assert fresh > 0 or not drive


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_cast_is_the_embedded_one(name):
    scenario = dataclasses.replace(SCENARIOS[name], warmup_frames=0)
    env, results = simulator(scenario, 77)
    director = _C.Director(scenario.to_dict())
    director.start(77)
    ego = director.ego_place()
    places = np.concatenate([director.walkers()[["x_m", "y_m"]], director.vehicles()[["x_m", "y_m"]]])
    nearby = {(np.float32(r["x_m"] - ego["x_m"]), np.float32(r["y_m"] - ego["y_m"])) for r in places}
    rows = env._info(results)["actors"][0]
    seen = {(r[2], r[3]) for r in rows if r[0]}
    assert seen
    assert seen <= nearby


def test_reward_and_ends_are_the_embedded_engine_s():
    scenario = dataclasses.replace(SCENARIOS["jw"], walkers_per_side=0, max_episode_frames=30)
    env, _ = simulator(scenario, 4)
    director = _C.Director(scenario.to_dict())
    director.start(4)
    director.begin()
    generator = np.random.default_rng(0)
    for frame in range(30):
        action = generator.uniform(-1, 1, (1, 2)).astype(np.float32)
        _, reward, _, truncated, info = env.step(action)
        distance = info["distance_m"][0]
        end = director.judge(
            x_m=1, y_m=-2, yaw_rad=0, vx_mps=distance / DT, vy_mps=0, steer=action[0, 0], drive=action[0, 1],
            crash_intensity_ns=0, new_hits=0,
        )  # fmt: skip
        result = director.take()
        assert result["reward"][0] == pytest.approx(reward[0], abs=1e-6)  # vx came through a division
        assert result["steer_abs"][0] == info["steer_abs"][0]
        assert result["brake"][0] == info["brake"][0]
        assert (end == _C.END_REASONS.index("time_limit")) == truncated[0] == (frame == 29)


def judged(director, **changes):
    at = {"x_m": 1.0, "y_m": -2.0, "yaw_rad": 0.0, "vx_mps": 5.0, "vy_mps": 0.0, "steer": 0.0, "drive": 0.0}
    return _C.END_REASONS[director.judge(**{**at, "crash_intensity_ns": 0.0, "new_hits": 0, **changes})]


def begun():
    director = _C.Director(SCENARIOS["jw"].to_dict())
    director.start(1)
    director.begin()
    return director


def test_each_reason_to_end():
    director = begun()
    assert [judged(director, crash_intensity_ns=1.0) for _ in range(20)] == ["running"] * 19 + ["collisions"]
    director = begun()
    assert [judged(director, vx_mps=0.0) for _ in range(100)] == ["running"] * 99 + ["stuck"]
    assert judged(begun(), y_m=9.5) == "off_road"
    assert judged(begun(), x_m=-11.0) == "off_road"


def test_the_oncoming_lane_counts_backwards():
    director = begun()
    judged(director, y_m=2.0)
    assert director.take()["distance_m"][0] == np.float32(-5.0) * DT


def test_a_passed_vehicle_comes_again_ahead_with_the_same_body():
    director = _C.Director(SCENARIOS["hb"].to_dict())
    director.start(9)
    cast = director.vehicles()
    seen = np.zeros(len(cast), _C.SEEN_DTYPE)
    seen["x_m"], seen["y_m"] = cast["x_m"], cast["y_m"]
    seen["x_m"][2] = -31.0
    seen["status"][0] = 2
    _, orders = director.advance(ego_x_m=0.0, walkers=np.zeros(0, _C.SEEN_DTYPE), vehicles=seen)
    assert orders["moved"].tolist() == [True, False, True, False]
    assert 35 <= orders["place"]["x_m"][0] <= 50
    assert 90 <= orders["place"]["x_m"][2] <= 160
    for field in ("kind", "length_m", "colour", "style", "lights"):
        assert (orders["place"][field] == cast[field]).all(), field


@pytest.mark.parametrize(
    ("walkers", "error"),
    [
        (np.zeros(3, _C.SEEN_DTYPE), "3 walkers were seen, there are 10"),
        (np.zeros(10, np.float32), "walkers must be"),
        ([], "walkers must be a numpy array"),
    ],
)
def test_what_was_seen_is_checked(walkers, error):
    with pytest.raises((ValueError, TypeError), match=error):
        begun().advance(ego_x_m=0.0, walkers=walkers, vehicles=np.zeros(0, _C.SEEN_DTYPE))
