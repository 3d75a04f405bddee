"""The C++ simulator's Python face: what it refuses, and that threads and saved states change nothing."""

import copy
import dataclasses
import subprocess
import sys
import threading
from typing import Any, get_args

import numpy as np
import pytest

from semore_fast import _C
from semore_fast.envs import SCENARIOS, Scenario
from semore_fast.envs.scenario import Kind, Reward, Weather

ENVS, SIZE = 3, 32


def make(scenario: Scenario = SCENARIOS["jw"], threads: int = 1, **changes: Any) -> _C.Simulator:
    values = {"num_envs": ENVS, "image_size": SIZE, "supersample": 1, "channels_last": False, **changes}
    return _C.Simulator(scenario=scenario.to_dict(), threads=threads, **values)


def arrays() -> dict[str, Any]:
    return {
        "results": np.zeros(ENVS, _C.RESULT_DTYPE),
        "ego": np.zeros((ENVS, 4), np.float32),
        "actors": np.zeros((ENVS, _C.ACTOR_ROWS, 8), np.float32),
        "rgb": np.zeros((ENVS, 3, SIZE, SIZE), np.uint8),
        "class_ids": np.zeros((ENVS, SIZE, SIZE), np.uint8),
        "instance_ids": np.zeros((ENVS, SIZE, SIZE), np.uint8),
    }


ALL = np.ones(ENVS, bool)
SEEDS = np.arange(ENVS, dtype=np.uint64)


def as_float32(value: Any) -> Any:
    """Nested dict with floats as the simulator stores them."""
    if isinstance(value, dict):
        return {name: as_float32(item) for name, item in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.parametrize("name", ["jw", "hb", "hw"])
def test_presets_equal_the_cpp_ones(name: str) -> None:
    assert as_float32(SCENARIOS[name].to_dict()) == _C.scenario_presets()[name]


def test_defaults_equal_the_cpp_ones_in_value_and_order() -> None:
    cpp = _C.scenario_presets()["defaults"]
    assert as_float32(Scenario().to_dict()) == cpp
    assert [field.name for field in dataclasses.fields(Scenario)] == list(cpp)


@pytest.mark.parametrize(("field", "names"), [("kind", Kind), ("weather", Weather), ("reward", Reward)])
def test_every_literal_is_known_to_the_simulator(field: str, names: Any) -> None:
    for name in get_args(names):
        make(dataclasses.replace(Scenario(), **{field: name}))


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        (("dt_s",), None, ValueError, "scenario.dt_s is missing"),
        (("road", "town"), None, ValueError, "scenario.road.town is missing"),
        (("wether",), "day", ValueError, "scenario.wether is not a scenario field"),
        (("road", "slope"), 1.0, ValueError, "scenario.road.slope is not a scenario field"),
        (("weather",), "snow", ValueError, "scenario.weather must be one of day, dusk, midnight, rain, fog; is 'snow'"),
        (("dt_s",), "0.05", TypeError, "scenario.dt_s must be a float, is '0.05'"),
        (("cyclists",), 1.0, TypeError, "scenario.cyclists must be an int, is 1.0"),
        (("cyclists",), True, TypeError, "scenario.cyclists must be an int, is True"),
        (("street_lights",), 1, TypeError, "scenario.street_lights must be a bool, is 1"),
        (("road",), 3, TypeError, "scenario.road must be a dict, is 3"),
        (("dt_s",), -0.05, ValueError, "dt_s"),
    ],
)
def test_bad_scenario_fields_are_named(path: tuple[str, ...], value: Any, error: type[Exception], message: str) -> None:
    values = copy.deepcopy(Scenario().to_dict())
    inner = values["road"] if len(path) == 2 else values
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(error) as raised:
        _C.Simulator(scenario=values, num_envs=1, image_size=32, supersample=1, threads=1, channels_last=False)
    assert message in str(raised.value)


@pytest.mark.parametrize("argument", ["num_envs", "image_size", "supersample", "threads"])
def test_bad_sizes_are_named(argument: str) -> None:
    with pytest.raises(ValueError, match=argument):
        make(**dict[str, Any]({argument: 0}))


@pytest.mark.parametrize("name", list(arrays()))
@pytest.mark.parametrize("fault", ["type", "shape", "layout", "readonly"])
def test_bad_output_arrays_are_named(name: str, fault: str) -> None:
    given = arrays()
    if fault == "type":
        given[name] = np.zeros(given[name].shape, np.int64)
    elif fault == "shape":
        given[name] = given[name][1:]
    elif fault == "layout":
        given[name] = np.repeat(given[name], 2, axis=0)[::2]
    else:
        given[name].flags.writeable = False
    wanted = {"type": "numpy array of", "shape": "shape", "layout": "contiguous", "readonly": "writeable"}[fault]
    with pytest.raises(TypeError if fault == "type" else ValueError, match=f"^{name} must .*{wanted}"):
        make().outputs(**given)


def test_bad_inputs_are_named() -> None:
    simulator = make()
    out = simulator.outputs(**arrays())
    simulator.reset(SEEDS, ALL, out)
    actions = np.zeros((ENVS, 2), np.float32)
    with pytest.raises(TypeError, match=r"^actions must be a numpy array of float32, is float64"):
        simulator.step(actions.astype(np.float64), 1, ALL, out)
    with pytest.raises(ValueError, match=r"^actions must have shape \[3, 2\], has \[2, 2\]"):
        simulator.step(actions[:2], 1, ALL, out)
    with pytest.raises(TypeError, match=r"^seeds"):
        simulator.reset(SEEDS.astype(np.int64), ALL, out)
    with pytest.raises(TypeError, match=r"^which"):
        simulator.reset(SEEDS, ALL.astype(np.uint8), out)
    with pytest.raises(ValueError, match=r"^frames"):
        simulator.step(actions, 0, ALL, out)
    with pytest.raises(ValueError, match="another simulator"):
        make().step(actions, 1, ALL, out)
    with pytest.raises(ValueError, match="rgb"):
        simulator.outputs(**{**arrays(), "rgb": None})


def test_only_chosen_rows_are_touched() -> None:
    simulator = make()
    given = arrays()
    out = simulator.outputs(**given)
    simulator.reset(SEEDS, ALL, out)
    before = copy.deepcopy(given)
    which = np.array([False, True, False])
    simulator.step(np.ones((ENVS, 2), np.float32), 2, which, out)
    assert given["results"]["frames"].tolist() == [0, 2, 0]
    for name, array in given.items():
        assert np.array_equal(array[~which], before[name][~which]), name
    assert given["rgb"][1].tobytes() != before["rgb"][1].tobytes()


def test_physics_alone_equals_physics_with_frames() -> None:
    results = []
    for leave_out in ({}, {"rgb": None, "class_ids": None, "instance_ids": None}):
        simulator, given = make(), {**arrays(), **leave_out}
        out = simulator.outputs(**given)
        simulator.reset(SEEDS, ALL, out)
        simulator.step(np.ones((ENVS, 2), np.float32), 50, ALL, out)
        results.append((given["results"].tolist(), given["ego"].tobytes()))
    assert results[0] == results[1]


def test_a_simulator_refuses_two_threads_at_once() -> None:
    simulator = make(num_envs=1, image_size=256)
    given: dict[str, Any] = {"results": np.zeros(1, _C.RESULT_DTYPE), "rgb": np.zeros((1, 3, 256, 256), np.uint8)}
    out = simulator.outputs(**given, ego=None, actors=None, class_ids=None, instance_ids=None)
    one = np.ones(1, bool)
    simulator.reset(SEEDS[:1], one, out)
    refused: list[str] = []

    def drive() -> None:
        for _ in range(2000):
            try:
                simulator.observe(one, out)
            except RuntimeError as error:
                refused.append(str(error))
            if refused:
                return

    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    # The second thread can only run at all because the first released the GIL.
    assert refused
    assert set(refused) == {"this simulator is in use by another thread; give each thread its own"}


FORK = """
import os, sys
import numpy as np
from semore_fast.envs import SCENARIOS, DrivingVectorEnv
env = DrivingVectorEnv(SCENARIOS["jw"], 2, image_size=32, threads=2)
env.reset(seed=0)
child = os.fork()
if child == 0:
    try:
        env.step(np.zeros((2, 2)))
    except RuntimeError as error:
        del env
        os._exit(7 if "fork" in str(error) else 1)
    os._exit(2)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_threads_say_that_they_did_not_survive_fork() -> None:
    assert subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False).returncode == 7
