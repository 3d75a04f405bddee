"""gymnasium's contract, determinism and saved states of the driving environments."""

import dataclasses
import hashlib
import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from semore_fast._C import ResetNeededError
from semore_fast.envs import CLASS_IDS, END_REASONS, ENV_IDS, SCENARIOS, DrivingEnv, DrivingVectorEnv

SHORT = {name: dataclasses.replace(scenario, max_episode_frames=40) for name, scenario in SCENARIOS.items()}


def make(name: str = "jw", num_envs: int = 3, **kwargs: Any) -> DrivingVectorEnv:
    return DrivingVectorEnv(SHORT[name], num_envs, **{"image_size": 32, **kwargs})


def actions_of(num_envs: int, steps: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).uniform(-0.3, 1.0, (steps, 64, 2)).astype(np.float32)
    return rows[:, :num_envs]


def drive(env: DrivingVectorEnv, actions: np.ndarray) -> list[bytes]:
    """One byte string a step and environment, of everything that a step returns."""
    seen = []
    for row in actions:
        frames, rewards, terminated, truncated, info = env.step(row)
        for i in range(env.num_envs):
            parts = [frames[i], rewards[i], terminated[i], truncated[i]]
            parts += [value[i] for name, value in sorted(info.items()) if not name.startswith("_")]
            seen.append(b"".join(np.asarray(part).tobytes() for part in parts))
    return seen


@pytest.mark.parametrize("env_id", ENV_IDS.values())
def test_passes_gymnasiums_checker_without_a_warning(env_id: str) -> None:
    env = gymnasium.make(env_id, image_size=32, render_size=64, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_make_vec_and_gymnasiums_vector_wrappers(mode: str) -> None:
    envs = gymnasium.make_vec(ENV_IDS["jw"], num_envs=2, vectorization_mode=mode, image_size=32, max_episode_frames=10)
    envs = DictInfoToList(RecordEpisodeStatistics(envs))
    frames, _ = envs.reset(seed=3)
    assert frames.shape == (2, 32, 32, 3)
    lengths = []
    for _ in range(25):
        frames, _, _, truncated, infos = envs.step(envs.action_space.sample())
        assert frames in envs.observation_space
        lengths += [info["episode"]["l"] for info, end in zip(infos, truncated, strict=True) if end]
    assert lengths == [10, 10, 10, 10]


def test_vector_entry_point_and_sync_give_the_same_frames() -> None:
    seen = []
    for mode in ("sync", "vector_entry_point"):
        envs = gymnasium.make_vec(ENV_IDS["hw"], num_envs=2, vectorization_mode=mode, image_size=32)
        frames, _ = envs.reset(seed=[5, 6])  # type: ignore[arg-type]
        stepped = [envs.step(row)[0].copy() for row in actions_of(2, 5)]
        seen.append([frames.tobytes(), *[frame.tobytes() for frame in stepped]])
    assert seen[0] == seen[1]


def test_bad_arguments_are_named() -> None:
    for bad in ({"layout": "nhwc"}, {"action_repeat": 0}, {"render_mode": "human"}, {"autoreset": "same_step"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make(**bad)
    with pytest.raises(TypeError, match="wether"):
        DrivingEnv("jw", wether="day")
    with pytest.raises(ValueError, match="jw, hb, hw"):
        DrivingEnv("motorway")
    env = make()
    with pytest.raises(ValueError, match="first reset"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    for seed in (-1, 2**64, [1, 2]):
        with pytest.raises(ValueError, match="seed"):
            env.reset(seed=seed)
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": [True, True, True]})
    with pytest.raises(ValueError, match="only reset_mask is known, not speed"):
        env.reset(options={"speed": 3})
    env.reset(seed=1)
    with pytest.raises(ValueError, match="actions: row 1 is not finite"):
        env.step(np.array([[0, 0], [0, np.nan], [0, 0]]))
    with pytest.raises(ValueError, match="actions must have shape"):
        env.step([[0, 0]])


@pytest.mark.parametrize("name", ["jw", "hb", "hw"])
def test_threads_and_neighbours_change_no_byte(name: str) -> None:
    actions = actions_of(4, 60)
    seen = {}
    for num_envs, threads in ((4, 1), (4, 2), (2, 1)):
        env = make(name, num_envs, threads=threads, ids=True)
        env.reset(seed=11)
        seen[num_envs, threads] = drive(env, actions[:, :num_envs])
    assert seen[4, 1] == seen[4, 2]
    assert [row for i, row in enumerate(seen[4, 1]) if i % 4 < 2] == seen[2, 1]
    env = make(name, 4, ids=True)
    env.reset(seed=12)
    assert drive(env, actions) != seen[4, 1]


HASH = """
import hashlib, sys
sys.path.insert(0, "tests")
from test_envs import actions_of, drive, make
env = make("hw", 2, ids=True)
env.reset(seed=11)
print(hashlib.sha256(b"".join(drive(env, actions_of(2, 60)))).hexdigest())
"""


def test_another_process_gives_the_same_bytes(pytestconfig: pytest.Config) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HASH], cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True
    )
    env = make("hw", 2, ids=True)
    env.reset(seed=11)
    assert run.stdout.strip() == hashlib.sha256(b"".join(drive(env, actions_of(2, 60)))).hexdigest()


@pytest.mark.parametrize("name", ["jw", "hb", "hw"])
@pytest.mark.parametrize("steps_before", [0, 7, 40])
def test_saved_state_goes_on_bit_for_bit(name: str, steps_before: int) -> None:
    env = make(name, ids=True)
    env.reset(seed=4)
    drive(env, actions_of(3, steps_before, seed=1))
    state = env.save_state()
    expected = drive(env, actions_of(3, 50, seed=2))
    other = make(name, ids=True, threads=2)
    other.load_state(state)
    assert other.save_state() == state
    assert drive(other, actions_of(3, 50, seed=2)) == expected
    env.load_state(state)
    assert drive(env, actions_of(3, 50, seed=2)) == expected


def test_states_that_do_not_fit_are_refused() -> None:
    env = make()
    env.reset(seed=4)
    state = env.save_state()
    for other, message in (
        (make(num_envs=2), "holds 3 environments, this simulator has 2"),
        (make("hw"), "another scenario; differs in .*same_direction_vehicles"),
        (make(autoreset="disabled"), "autoreset"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state(state)
    for bad in (b"", b"{}", state[:-1], state + b"x"):
        with pytest.raises(ValueError, match=r"^state"):
            env.load_state(bad)
    assert env.save_state() == state


def test_not_drawn_actors_change_frames_and_nothing_else() -> None:
    actions = actions_of(3, 60)
    outcomes = []
    for drawn in (True, False):
        scenario = dataclasses.replace(SCENARIOS["hw"], actors_drawn=drawn)
        env = DrivingVectorEnv(scenario, 3, image_size=64, ids=True)
        env.reset(seed=9)
        steps = [env.step(row) for row in actions]
        physics = [(s[1].tobytes(), s[4]["ego"].tobytes(), s[4]["actors"].tobytes()) for s in steps]
        outcomes.append((physics, steps[-1][0], steps[-1][4]))
    (seen_physics, seen_rgb, seen), (hidden_physics, hidden_rgb, hidden) = outcomes
    assert seen_physics == hidden_physics
    assert (seen_rgb != hidden_rgb).any()
    assert seen["instance_ids"].any()
    assert not hidden["instance_ids"].any()
    assert not np.isin(hidden["class_ids"], [CLASS_IDS[name] for name in ("car", "truck", "pedestrian")]).any()


def test_time_limit_truncates_and_next_step_starts_anew() -> None:
    env = make("jw", 2, action_repeat=30)
    env.reset(seed=0)
    forward = np.array([[0, 1], [0, 1]], np.float32)
    _, _, terminated, truncated, info = env.step(forward)
    assert info["frames"].tolist() == [30, 30]
    assert not terminated.any()
    assert not truncated.any()
    _, _, terminated, truncated, info = env.step(forward)
    assert info["frames"].tolist() == [10, 10]
    assert truncated.all()
    assert not terminated.any()
    assert [END_REASONS[end] for end in info["end_reason"]] == ["time_limit"] * 2
    _, rewards, terminated, truncated, info = env.step(forward)
    for values in (rewards, terminated, truncated, info["frames"]):
        assert not values.any()


def test_standing_still_terminates_as_stuck() -> None:
    env = DrivingVectorEnv(SCENARIOS["jw"], 1, image_size=32, action_repeat=100, autoreset="disabled")
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step([[0, -1]])
    assert (bool(terminated[0]), bool(truncated[0])) == (True, False)
    assert END_REASONS[info["end_reason"][0]] == "stuck"
    assert info["brake"][0] == pytest.approx(1.0)
    with pytest.raises(ResetNeededError, match=r"environment 0 has ended \(stuck\)"):
        env.step([[0, 0]])


def test_reset_mask_starts_only_what_it_names() -> None:
    env = make("jw", 2, autoreset="disabled")
    env.reset(seed=1)
    moved, *_ = env.step([[0, 1], [0, 1]])
    frames, _ = env.reset(seed=[None, 77], options={"reset_mask": np.array([False, True])})
    assert frames[0].tobytes() == moved[0].tobytes()
    alone = make("jw", 1)
    assert frames[1].tobytes() == alone.reset(seed=77)[0].tobytes()


def test_frames_are_fresh_unless_reuse_is_asked_for() -> None:
    for reuse in (False, True):
        env = make(reuse_buffers=reuse)
        first, _ = env.reset(seed=1)
        kept = first.copy()
        second, *_ = env.step(np.ones((3, 2)))
        assert (first is second) == reuse
        assert np.array_equal(first, kept) != reuse


def test_rewards_add_up_from_their_terms() -> None:
    env = make("hw", action_repeat=4)
    env.reset(seed=2)
    for row in actions_of(3, 30):
        _, rewards, _, _, info = env.step(row)
        terms = sum(info[f"reward_{name}"] for name in ("progress", "collision", "brake", "steer"))
        np.testing.assert_allclose(rewards, terms, rtol=1e-5, atol=1e-5)
        steering = np.abs(row[:, 0]) * (info["frames"] > 0)
        np.testing.assert_allclose(info["steer_abs"], steering, rtol=1e-5)
        np.testing.assert_allclose(info["reward_steer"], -0.1 * steering * info["frames"], rtol=1e-4, atol=1e-6)


def test_layouts_hold_the_same_picture() -> None:
    chw, _ = make(layout="chw").reset(seed=1)
    hwc, _ = make(layout="hwc").reset(seed=1)
    assert np.array_equal(chw.transpose(0, 2, 3, 1), hwc)


def test_render_is_the_drivers_view_at_its_own_size() -> None:
    env = DrivingEnv("jw", image_size=64, supersample=2, render_mode="rgb_array", render_size=64)
    frame, _ = env.reset(seed=3)
    view = env.render()
    assert view is not None
    assert np.array_equal(view, frame)
    assert DrivingEnv("jw").render() is None


def test_importing_the_environments_loads_no_torch() -> None:
    code = "import sys, semore_fast.envs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
