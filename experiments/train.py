"""`chromafill train`: one paper, one data set, one folder with everything that came of it."""

import shlex
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from experiments.arguments import Parser
from experiments.compose import build, compose_config
from experiments.errors import UserError
from experiments.loggers import MetricsCSV, Wandb
from experiments.progress import TrainingProgress
from experiments.run_record import RunRecord, run_folder
from experiments.strategy import strategy_for
from lightning_modules.callbacks.checkpoint_by_iteration import CheckpointByIteration
from lightning_modules.callbacks.nonfinite_batch import NonFiniteBatch
from lightning_modules.callbacks.record import Record, StopAtIteration
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.pretrained.checkpoint import newest_valid, read_checkpoint


def parser():
    return Parser(
        "train",
        "Train a paper on a data set. Every setting can be given as key=value; `chromafill config show` prints them.",
        "chromafill train experiment=colorful_photos iterations=200 model.width=16",
    ).overrides()


def run(arguments):
    train(compose_config(arguments.overrides))


def train(config):
    """Runs a composed configuration to its end and prints where everything is."""
    check(config)
    data, module = build_both(config)
    folder = run_folder(config)
    resume_from = find_checkpoint(config, folder)
    trainer = make_trainer(config, folder, data, module, resume_from)
    trainer.fit(module, data, ckpt_path=resume_from, weights_only=True)
    if trainer.state.status == "interrupted":
        raise KeyboardInterrupt
    if trainer.is_global_zero:
        print(summary(trainer, module, folder))


def check(config):
    """UserError for lengths that make no run."""
    for key in ("iterations", "validate_every", "checkpoint_every", "log_every", "accumulate"):
        if config[key] < 1:
            raise UserError(f"{key} must be at least 1, got {config[key]}")
    if config["logger"] not in ("wandb", "none"):
        raise UserError(f"logger must be wandb or none, got {config['logger']}")
    if config["trainer"]["sync_batchnorm"] and not torch.cuda.is_available():
        raise UserError("trainer.sync_batchnorm=true needs GPUs: PyTorch synchronises batch norm nowhere else")


def build_both(config):
    """(data module, paper module), seeded, with the data looked at: a wrong root fails here, before any device."""
    pl.seed_everything(config["seed"], verbose=False)
    data = build(config["data"], "data")
    data.seed, data.iterations = config["seed"], config["iterations"]
    for split in ("train", "val"):
        data.dataset(split)
    module = build(config["model"], "model")
    module.seed, module.accumulate, module.clip_norm = config["seed"], config["accumulate"], config["clip_norm"]
    return data, module


def find_checkpoint(config, folder):
    """The checkpoint to resume from, or None for a fresh start."""
    if config["resume"] is None:
        if any((folder / "checkpoints").glob("*.ckpt")):
            raise UserError(f"{folder} holds a run already; give resume=auto to continue it, or another run_dir")
        return None
    if config["resume"] != "auto":
        return Path(config["resume"])
    path, _, reasons = newest_valid(folder / "checkpoints")
    for reason in reasons:
        print(f"passed over: {reason}")
    return path


def make_trainer(config, folder, data, module, resume_from):
    """Lightning's Trainer with this project's callbacks and loggers; sets data and module up for the start."""
    done = 0
    batches = data.initial_batches()
    try:
        module.check(next(data.initial_batches()))
        if resume_from is None:
            module.initialise(batches)
    except ValueError as error:
        raise UserError(f"model: {error}") from error
    if resume_from is not None:
        checkpoint = read_checkpoint(resume_from)
        done, data.done, data.seen = checkpoint["iteration"], checkpoint["iteration"], checkpoint["samples_seen"]
    iterations, validate_every = config["iterations"], config["validate_every"]
    if done >= iterations:
        raise UserError(f"{resume_from} has {done} iterations already; give iterations above that to go on")
    callbacks = [
        NonFiniteBatch(folder),
        Record(config["log_every"]),
        StopAtIteration(iterations),
        SampleGrid(folder / "samples"),
        TrainingProgress(iterations),
        RunRecord(folder, config),
        CheckpointByIteration(
            folder / "checkpoints",
            config,
            every=config["checkpoint_every"],
            validate_every=validate_every,
            iterations=iterations,
        ),
    ]
    if config["ema_decay"] is not None:
        callbacks.insert(0, EMAWeightAveraging(decay=config["ema_decay"]))
    loggers = [MetricsCSV(folder / "metrics.csv", start=done)]
    if config["logger"] == "wandb":
        loggers.append(Wandb(folder, config, paper=type(module).__name__))
    settings = config["trainer"]
    return pl.Trainer(
        accelerator=settings["accelerator"],
        devices=settings["devices"] if torch.cuda.is_available() or settings["devices"] != "auto" else 1,
        num_nodes=settings["num_nodes"],
        strategy=strategy_for(settings),
        precision=settings["precision"],
        sync_batchnorm=settings["sync_batchnorm"],
        deterministic=settings["deterministic"],
        max_epochs=1,  # the sampler is one stream of `iterations` batches, whatever the data set's size
        val_check_interval=min(validate_every, iterations),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=loggers,
        callbacks=callbacks,
    )


def summary(trainer, module, folder):
    """What to look at after a run, and the command to try the checkpoint with."""
    scores = {name.removeprefix("val/"): value.item() for name, value in trainer.callback_metrics.items()}
    task = type(module).__module__.split(".")[1]
    checkpoint = folder / "checkpoints" / "last.ckpt"
    grids = sorted((folder / "samples").glob("*.png"))
    lines = [""]
    if task == "colorization":
        lines.append(
            f"PSNR {scores['psnr']:.2f} dB; the trivial grey answer: {scores['psnr_grey']:.2f} dB"
            f" ({scores['psnr'] - scores['psnr_grey']:+.2f} dB)"
        )
        verb = ["chromafill", "colorize", "PHOTO", "--checkpoint", str(checkpoint), "-o", "colored"]
    else:
        lines.append(
            f"PSNR in the hole {scores['psnr_hole']:.2f} dB; filling with the mean colour:"
            f" {scores['psnr_hole_mean_fill']:.2f} dB ({scores['psnr_hole'] - scores['psnr_hole_mean_fill']:+.2f} dB)"
        )
        verb = ["chromafill", "inpaint", "PHOTO", "--mask", "MASK", "--checkpoint", str(checkpoint), "-o", "filled"]
    lines += [
        f"samples     {grids[-1]}",
        f"metrics     {folder / 'metrics.csv'}",
        f"checkpoint  {checkpoint}",
        f"try it      {shlex.join(verb)}",
    ]
    return "\n".join(lines)
