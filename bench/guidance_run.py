"""A training run beside a vision-language model: does guidance hold it up, and by how much does it slow it down?

    python bench/guidance_run.py OUT.json [--frames 12000] [--interval 8] [flags of train]

With random weights, so the answers mean nothing: on a GPU a Qwen2-VL-7B in nf4 and a CLIPSeg of the published sizes
beside the preset paper, elsewhere tiny ones beside the preset laptop. *Stall* is the share of wall time that training
spends in guidance's calls; *slow-down* compares the steps during which the model worked with those during which it did
not, in the same run. Both after learning has begun, and without evaluation.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from gpu_timing import DEVICE, ON_GPU
from phrase_models import clip_tokenizer, tiny_clipseg
from random_qwen import checkpoint
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

from semore_fast.cli import parse_run
from semore_fast.logging import read_metrics
from semore_fast.session import open_session, stop_on_signals
from semore_fast.streams import learner_stream
from semore_fast.system import describe_system

NO_EXTRAS = "--evaluation.every-frames 1000000 --checkpoint-every-frames 1000000 --no-tensorboard"
PREPROCESSING = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 2}


def clipseg(folder: Path) -> Path:
    """A random CLIPSeg: of the published sizes (rd64-refined has the default configuration) on a GPU, else tiny."""
    model = CLIPSegForImageSegmentation(CLIPSegConfig()) if ON_GPU else tiny_clipseg()
    side = model.config.vision_config.image_size
    model.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    preprocessing = PREPROCESSING | {"size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def measure(flags: list[str], out: Path) -> dict[str, Any]:
    """One run's stall, slow-down and counts."""
    config, _ = parse_run(flags, "")
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats()
    with ExitStack() as stack:
        trainer = open_session(config, stack)
        assert trainer is not None, f"{out} holds a finished run"
        with stop_on_signals([trainer]), learner_stream(DEVICE):
            trainer.run()
        counts = trainer.parts.collector.guidance.stats()
    rows = [row for row in read_metrics(out / "metrics.jsonl") if row["kind"] == "train"]
    learning = [row for row in rows if row.get("loss/critic") is not None]
    assert learning, "the run ended before it learnt"
    stalls = [row["time/guidance"] for row in learning]
    return {
        "frames": config.frames,
        "updates": trainer.updates,
        "frames_per_s": [round(row["frames_per_s"], 1) for row in learning],
        "stall_share": round(sum(stalls) / len(stalls), 5),
        "slow_down": learning[-1].get("guidance/slow_down"),
        "guidance": counts,
        "peak_bytes": torch.cuda.max_memory_allocated() if ON_GPU else None,
        "settings": {"preset": config.preset, "interval": config.guide.key_frame_interval, "agent": config.agent},
    }


def main() -> None:
    """Reads the flags, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=12_000)
    parser.add_argument("--interval", type=int, default=8, help="steps between key frames")
    ours, theirs = parser.parse_known_args()
    folder = Path(tempfile.mkdtemp(prefix="guidance-run-"))
    try:
        models = checkpoint(folder / "qwen", DEVICE), clipseg(folder / "clipseg")
        run = folder / "run"
        flags = ["--scenario", "jw", "--agent", "semore", "--guidance", "qwen", "--out", str(run), *NO_EXTRAS.split()]
        flags += ["--frames", str(ours.frames), "--log-every-frames", "250"]
        flags += ["--guide.model", str(models[0]), "--guide.segmenter-model", str(models[1])]
        flags += ["--guide.key-frame-interval", str(ours.interval), *theirs]
        result = {"system": describe_system(), "command": " ".join(sys.argv), **measure(flags, run)}
    finally:
        shutil.rmtree(folder)
    ours.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
