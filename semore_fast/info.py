"""What this installation would run with, and why: `python -m semore_fast.info`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from semore_fast.errors import EXIT_OK, run_cli


def main(argv: Sequence[str]) -> int:
    """Prints versions, hardware and every choice that `auto` would make here."""
    parser = argparse.ArgumentParser(prog="python -m semore_fast.info", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    flags = parser.parse_args(argv)
    facts = gather_facts()
    print(json.dumps(facts, indent=2) if flags.json else as_text(facts))
    return EXIT_OK


def gather_facts() -> dict[str, Any]:
    """Everything that is printed, as JSON-able values."""
    import torch  # seconds: not for --help

    from semore.config import GUIDED_METHODS, METHOD_SUMMARIES
    from semore_fast.arithmetic import choose_arithmetic, dtype_of
    from semore_fast.backend import choose_device, choose_ops
    from semore_fast.guidance import make_guidance
    from semore_fast.system import describe_system

    device = choose_device("auto")
    precision, arithmetic = choose_arithmetic("auto", device)
    choices = choose_ops("auto", device, dtype_of(precision))[1]
    return {
        "system": describe_system(),
        "device": device.type,
        "torch_threads": torch.get_num_threads(),
        "kernels": {op: dataclasses.asdict(choice) for op, choice in choices.items()},
        "arithmetic": arithmetic,
        "instruction_sets": _instruction_sets(),
        "replay": _replay(),
        "methods": {
            method: {
                "summary": summary,
                "guidance": make_guidance("auto", wanted=method in GUIDED_METHODS, privileged=True)[1],
            }
            for method, summary in METHOD_SUMMARIES.items()
        },
    }


def _instruction_sets() -> dict[str, str]:
    """What the C++ operations would use that choose by themselves; empty where the extension is not built."""
    try:
        from semore_fast import _C
    except ImportError:
        return {}
    return {"encoder_inputs": _C.frames_instruction_set(), "trunk": _C.trunk_instruction_set()}


def _replay() -> dict[str, str]:
    from semore.replay import ReplayBuffer, ReplaySpec
    from semore_fast.replay import make_replay

    smallest = ReplaySpec(capacity=64, num_envs=1, frame_shape=(3, 1, 1), action_dim=1)
    buffer, reason = make_replay("auto", smallest)
    return {"backend": "reference" if isinstance(buffer, ReplayBuffer) else "cpp", "reason": reason}


def as_text(facts: dict[str, Any]) -> str:
    """The same for people."""
    system = facts["system"]
    lines = [f"{package:<14}{version or '-'}" for package, version in system["versions"].items()]
    lines += [
        f"{'commit':<14}{system['commit']}",
        f"{'platform':<14}{system['platform']}",
        f"{'processor':<14}{system['cpu']}, {system['cores_usable']} of {system['cores']} cores usable",
        f"{'memory':<14}{system['memory_bytes'] / 2**30:.1f} GiB",
        f"{'GPUs':<14}{', '.join(system['gpus']) or 'none'}",
        f"{'device':<14}{facts['device']}, {facts['torch_threads']} torch threads",
        "",
        "--kernels auto",
    ]
    for op, choice in facts["kernels"].items():
        lines.append(f"  {op}: {choice['backend']} ({choice['reason']})")
        lines += [f"    not {backend}: {reason}" for backend, reason in choice["rejected"].items()]
    lines += [
        *(f"  C++ {op} would use: {name}" for op, name in facts["instruction_sets"].items()),
        f"--learner.precision auto\n  {facts['arithmetic']}",
        f"--replay auto\n  {facts['replay']['reason']}",
        "--guidance auto, and the methods",
    ]
    for method, about in facts["methods"].items():
        lines += [f"  {method}: {about['summary']}", f"    {about['guidance']}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
