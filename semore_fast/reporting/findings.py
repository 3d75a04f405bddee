"""What the numbers say, in a few sentences, and what they cannot say."""

from __future__ import annotations

import math

import numpy as np

from semore_fast.reporting.statistics import permutation_p
from semore_fast.reporting.study import DRIVER_BLIND, DRIVER_PLANNER, Study, gaps_of, sees, summary_of
from semore_fast.reporting.tables import iqm

_FEW, _LEVEL = 5, 0.05
_DETECTABLE = 2.8  # 1.96 + 0.84: two-sided 5 %, power 80 %, normal


def subject(study: Study) -> str:
    """What was run, in a line."""
    frames = sorted({int(run.config["frames"]) for run in study.runs})
    presets = sorted({str(run.config["preset"]) for run in study.runs})
    seeds = sorted({run.seed for run in study.runs})
    budget = f"{frames[0]:,}" if len(frames) == 1 else f"{frames[0]:,} to {frames[-1]:,}"
    return (
        f"{len(study.finished)} finished runs of {len(study.runs)}: {_count(study.methods(), 'method')} on "
        f"{', '.join(study.scenarios) or 'nothing'}, {_count(seeds, 'seed')}, {budget} simulator frames each, "
        f"preset {', '.join(presets)}. {_simulator(study)}"
    )


def _simulator(study: Study) -> str:
    simulators = {run.config.get("sim", "embedded") for run in study.runs}
    if simulators <= {"embedded"}:
        return "The simulator is semore-fast's own, not CARLA."
    told = "driven through CARLA's client (whether CARLA or the protocol server answered, --carla-root or -host tells)"
    return (
        f"Some runs were {told}: do not compare them with the others." if len(simulators) > 1 else f"All were {told}."
    )


def findings(study: Study, scenario: str) -> list[str]:
    """Sentences about one scenario, the most important first."""
    return [
        *_sight(study, scenario),
        *_best(study, scenario),
        *_resolution(study, scenario),
        *_scale(study, scenario),
    ]


def _sight(study: Study, scenario: str) -> list[str]:
    parts, every, seen = [], 0, 0
    for agent in study.methods(scenario):
        runs = study.of(scenario, agent)
        gaps = gaps_of(runs)
        count = sum(map(sees, gaps))
        every, seen = every + len(gaps), seen + count
        if count:
            parts.append(f"{agent} {count} of {len(runs)}")
    if not every:
        return ["Nothing shows whether these runs drive by what they see: CARLA cannot hide people and vehicles."]
    told = f" ({', '.join(parts)})" if parts else ""
    return [
        f"{seen} of {every} runs drive by what they see{told}: with people and vehicles not drawn they lose return on "
        "the same episodes. The others drive blind, however high their return."
    ]


def _best(study: Study, scenario: str) -> list[str]:
    agents = study.methods(scenario)
    scores = {agent: study.scores(scenario, agent, "episode_return") for agent in agents}
    runs = min(map(len, scores.values()))
    if len(agents) < 2 or runs < 2:
        return []
    middle = {agent: iqm(scores[agent]) for agent in agents}
    best = max(agents, key=lambda agent: middle[agent].value)
    value = middle[best]
    told = f"The highest return is {best}'s (IQM {value.value:.0f}, 95 % interval {value.low:.0f} to {value.high:.0f})"
    if 2 / math.comb(2 * runs, runs) > _LEVEL:
        return [f"{told}, but with {runs} runs a method no difference at all could reach the 5 % level: do not rank."]
    others = [agent for agent in agents if agent != best]
    beaten = [agent for agent in others if permutation_p(scores[best], scores[agent]) <= _LEVEL]
    rest = f"differs from {', '.join(beaten)}" if beaten else "differs from none of them"
    return [f"{told}; it {rest} (permutation test of each pair by itself, 5 %)."]


def _resolution(study: Study, scenario: str) -> list[str]:
    groups = [study.scores(scenario, agent, "episode_return") for agent in study.methods(scenario)]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return ["With one run a method nothing can be said about differences between methods."]
    freedom = sum(len(group) - 1 for group in groups)
    spread = math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / freedom)
    runs = min(map(len, groups))
    least = _DETECTABLE * spread * math.sqrt(2 / runs)
    episodes = int(np.median([summary_of(run)["seen"]["episodes"] for run in study.finished]))
    caution = " With so few runs the bootstrap's intervals are themselves too narrow." if runs < _FEW else ""
    return [
        f"Runs of one method differ by {spread:.0f} points of return (standard deviation over seeds, {episodes} "
        f"episodes each), so two methods with {runs} runs each must differ by about {least:.0f} to be told apart four "
        f"times in five.{caution}"
    ]


def _scale(study: Study, scenario: str) -> list[str]:
    drivers = study.drivers(scenario)
    if not drivers:
        return ["No reference drivers were measured (--evaluation.driver-episodes), so returns have no scale here."]
    blind, planner = (drivers[name]["episode_return"] for name in (DRIVER_BLIND, DRIVER_PLANNER))
    return [
        f"On {drivers[DRIVER_BLIND]['episodes']} of these episodes blind full throttle earns {blind:.0f}, a planner "
        f"that reads the simulator's state {planner:.0f}."
    ]


def _count(things: list[str] | list[int], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
