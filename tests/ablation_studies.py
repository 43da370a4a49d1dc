"""An ablation of two rows and two seeds: its record by hand, and one that is trained in this process."""

import os

from experiments.compose import compose_config
from experiments.run_record import RUN_DIR
from experiments.verbs.train import train

TINY = [
    *("experiment=colorful_synthetic", "model.width=2", "iterations=4", "validate_every=2", "checkpoint_every=2"),
    *("log_every=1", "data.crop=32", "data.batch_size=2", "data.workers=0", "data.train_count=20", "data.val_count=3"),
    *("data.limit=6", "logger=none", "trainer.accelerator=cpu"),
]


def work_here(study, count):
    """What workers do, in this process."""
    while (trial := study.take({})) is not None:
        folder = study.run_dir(trial.user_attrs["name"])
        words = [*study.definition["overrides"], *trial.user_attrs["overrides"], f"run_dir={folder}", "resume=auto"]
        os.environ.pop(RUN_DIR, None)
        train(compose_config(words))
        os.environ.pop(RUN_DIR, None)
        study.finish(trial, 0.0)


PIXEL = (  # a PNG of one pixel
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def row(name, **settings):
    empty = {
        **{"group": "loss", "overrides": [], "of": None, "decoder": {}, "start_from": None, "published": {}},
        **{"source": "", "from_memory": False, "claim": "", "note": "", "cannot": "", "same_as": None},
        **{"problems": [], "seeds": {}, "scores": {}, "seconds": None, "difference": {}},
    }
    return {"name": name} | empty | settings


def record_by_hand():
    """PSNR of full 20 and 22, of l2 21 and 24: differences 1 and 2. A row that cannot run, and one with odd letters."""
    difference = {
        **{"mean": 1.5, "of_seeds": {0: 1.0, 1: 2.0}, "low": -4.853, "high": 7.853, "p": 0.2048, "p_holm": 0.2048},
        "images": {"low": 1.1, "high": 1.9, "p": 0.0001},
    }
    seeds = {seed: {"sha256": "0", "means": {}, "seconds": 120.0} for seed in (0, 1)}
    curve = {0: [[2, 19.0], [4, 20.0]], 1: [[2, 20.0], [4, 22.0]]}
    return {
        "study": "tiny",
        "ablation": "colorful",
        "base": "full",
        "overrides": ["experiment=colorful_synthetic", "model.width=2"],
        "departures": {
            **{"experiment": "colorful_imagenet", "model": {"model.width": [2, 64]}},
            "recipe": {"data": ["synthetic", "imagenet"], "iterations": [4, 450_000]},
        },
        "protocol": {
            **{"name": "colorization_default", "task": "colorization", "data": "synthetic"},
            **{"split": "test", "count": 6},
        },
        "metrics": {"psnr": {"title": "PSNR", "unit": "dB", "better": "higher", "digits": 2, "over": "images"}},
        "absent": {"lpips": "no file"},
        "rows": [
            row(
                "full",
                published={"auc": 89.5, "AMT fooled": "32.3 %"},
                source="Table 1",
                seeds=seeds,
                scores={"psnr": {"mean": 21.0, "sd": 1.41421, "seeds": 2}},
                seconds={"mean": 120.0, "sd": 6.0, "seeds": 2},
            ),
            row(
                "l2",
                overrides=["model.loss=l2"],
                published={"psnr": 22.0},
                source="a later paper",
                from_memory=True,
                claim="worse | or so",
                seeds=seeds,
                scores={"psnr": {"mean": 22.5, "sd": 2.12132, "seeds": 2}},
                seconds={"mean": 30.0, "sd": None, "seeds": 1},
                difference={"psnr": difference},
            ),
            row("same", same_as="l2", problems=["with this experiment its settings are those of l2; see there"]),
            row("cold_5%", group="temperature", of="full", decoder={"temperature": 0.1}),
            row("<script>alert(1)</script>", group="other", cannot="no data", problems=["no data"]),
        ],
        "left_out": ["class"],
        "baselines": [{"name": "grey", "means": {"psnr": 18.25}}],
        "curves": {"title": "PSNR", "unit": "dB", "rows": {"full": curve, "l2": {0: [[2, 18.0], [4, 21.0]]}}},
        "command": ["chromafill", "ablate", "report", "tiny"],
        "commit": "abc",
        "clean": False,
    }


def pictures_by_hand():
    image = {"name": "<b>coast</b>.png", "input": PIXEL, "truth": PIXEL}
    return {"images": [image], "rows": {"full": [PIXEL], "l2": [PIXEL]}}
