"""`chromafill train`: one paper, one data set, one folder with everything that came of it."""

import errno
import shlex
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from experiments.arguments import Parser
from experiments.checkpoints import task_of
from experiments.compose import build, compose_config
from experiments.errors import UserError
from experiments.loggers.chosen import logger_names, make_loggers
from experiments.progress import TrainingProgress
from experiments.run_record import RunRecord, is_finished, run_folder
from experiments.sharded import strategy_for
from lightning_modules.callbacks.checkpoint_by_iteration import CheckedFiles, CheckpointByIteration
from lightning_modules.callbacks.nonfinite_batch import NonFiniteBatch
from lightning_modules.callbacks.record import Record, StopAtIteration
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.stop_on_signal import StopOnSignal, leaving_at_once
from lightning_modules.callbacks.stop_when_pruned import StopWhenPruned
from lightning_modules.pretrained.checkpoint import newest_valid, read_checkpoint

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
TRY_IT = {  # task: the verb and its arguments
    "colorization": ["colorize", "PHOTO"],
    "inpainting": ["inpaint", "PHOTO", "--mask", "MASK"],
}


def parser():
    return Parser(
        "train",
        "Train a paper on a data set. Every setting can be given as key=value; `chromafill config show` prints them.",
        "chromafill train experiment=colorful_photos iterations=200 model.width=16",
    ).overrides()


def run(arguments):
    with leaving_at_once():
        config = compose_config(arguments.overrides)
    train(config)


def train(config):
    """Runs a composed configuration to its end and prints where everything is."""
    check(config)
    with leaving_at_once():
        data, module = build_both(config)
        folder = run_folder(config)
        with room_in(folder):
            trainer = trained(config, folder, data, module)
    if trainer.is_global_zero:
        print(summary(trainer, module, folder))


def trained(config, folder, data, module):
    """The Trainer, at the end of the run."""
    resume_from, checkpoint = find_checkpoint(config, folder)
    trainer = make_trainer(config, folder, data, module, checkpoint)
    del checkpoint  # its memory: the Trainer reads the file once more
    trainer.fit(module, data, ckpt_path=resume_from, weights_only=True)
    if trainer.state.status == "interrupted":
        raise KeyboardInterrupt
    return trainer


@contextmanager
def room_in(folder):
    """UserError where the disk is full or the run's folder takes no files: what was there before is whole."""
    try:
        yield
    except OSError as error:
        of_run = error.filename is not None and folder.resolve() in Path(error.filename).resolve().parents
        if error.errno not in FULL and not of_run:
            raise
        what = f"{error.filename or folder}: {error.strerror}"
        raise UserError(f"{what}; when it can be written, the same command with resume=auto goes on") from error


def check(config):
    """UserError for lengths that make no run."""
    for key in ("iterations", "validate_every", "checkpoint_every", "log_every", "accumulate"):
        if config[key] < 1:
            raise UserError(f"{key} must be at least 1, got {config[key]}")
    lengths, accumulate = ("iterations", "validate_every", "checkpoint_every"), config["accumulate"]
    cut = [key for key in lengths if config[key] <= config["iterations"] and config[key] % accumulate]
    if cut:
        raise UserError(
            f"{', '.join(f'{key}={config[key]}' for key in cut)}: must be a multiple of accumulate={accumulate};"
            " checkpoints and validations lose the gradients of a step that is not complete"
        )
    logger_names(config["logger"])
    precision = config["trainer"]["precision"]
    if precision not in PRECISIONS:
        raise UserError(f"trainer.precision must be one of {', '.join(PRECISIONS)}; got {precision}")
    on_cpu = config["trainer"]["accelerator"] == "cpu" or not torch.cuda.is_available()
    if precision == "16-mixed" and on_cpu:
        raise UserError("trainer.precision=16-mixed needs a GPU; on a CPU give bf16-mixed")
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
    module.class_names = data.dataset("train").source.classes
    module.seed, module.accumulate, module.clip_norm = config["seed"], config["accumulate"], config["clip_norm"]
    return data, module


def find_checkpoint(config, folder):
    """(path, content) of the checkpoint to resume from, or (None, None) for a fresh start. UserError where the run has
    come to its end; one that was killed after its last checkpoint, before its record said so, is closed."""
    if config["resume"] is None:
        if any((folder / "checkpoints").glob("*.ckpt")):
            raise UserError(f"{folder} holds a run already; give resume=auto to continue it, or another run_dir")
        return None, None
    if config["resume"] == "auto":
        path, checkpoint, reasons = newest_valid(folder / "checkpoints")
        for reason in reasons:
            print(f"passed over: {reason}")
        if path is None:
            return None, None
    else:
        path = Path(config["resume"])
        checkpoint = read_checkpoint(path)
    if "converted" in checkpoint:
        raise UserError(f"resume={path}: it was made of published weights, not by a training to go on with")
    done, iterations = checkpoint["iteration"], config["iterations"]
    to_close = done == iterations and config["resume"] == "auto" and not is_finished(folder)
    if done >= iterations and not to_close:
        raise UserError(f"{path} has {done} iterations already; give iterations above that to go on")
    return path, checkpoint


def make_trainer(config, folder, data, module, checkpoint):
    """Lightning's Trainer with this project's callbacks and loggers; sets data and module up for the start."""
    done = 0
    batches = data.initial_batches()
    first = next(batches)
    try:
        module.check(first)
        if checkpoint is None:
            module.initialise(chain([first], batches))
    except ValueError as error:
        raise UserError(f"model: {error}") from error
    if checkpoint is not None:
        done, data.done, data.seen = checkpoint["iteration"], checkpoint["iteration"], checkpoint["samples_seen"]
    iterations, validate_every = config["iterations"], config["validate_every"]
    saver = CheckpointByIteration(
        folder / "checkpoints",
        config,
        every=config["checkpoint_every"],
        validate_every=validate_every,
        iterations=iterations,
    )
    pruning = StopWhenPruned(folder, saver)
    callbacks = [
        NonFiniteBatch(folder),
        RunRecord(folder, config, pruning),
        Record(config["log_every"]),
        StopAtIteration(iterations),
        SampleGrid(folder / "samples"),
        TrainingProgress(iterations),
        saver,
    ]
    if config["ema_decay"] is not None:
        callbacks.insert(0, EMAWeightAveraging(decay=config["ema_decay"]))
    loggers, of_loggers = make_loggers(config, folder, data, start=done)
    settings = config["trainer"]
    return pl.Trainer(
        accelerator=settings["accelerator"],
        devices=settings["devices"] if torch.cuda.is_available() or settings["devices"] != "auto" else 1,
        num_nodes=settings["num_nodes"],
        strategy=strategy_for(config),
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
        plugins=[CheckedFiles()],
        callbacks=[*callbacks, *of_loggers, pruning, StopOnSignal(saver)],  # last, when all has been written
    )


def summary(trainer, module, folder):
    """What to look at after a run, and the command to try the checkpoint with."""
    scores = {name.removeprefix("val/"): value.item() for name, value in trainer.callback_metrics.items()}
    checkpoint = folder / "checkpoints" / "last.ckpt"
    grids = sorted((folder / "samples").glob("*.png"))
    shown, lines = module.headline, [""]
    if shown.score in scores:  # a resumed or a pruned run may end before it validates
        own, trivial = (shown.factor * scores[name] for name in (shown.score, shown.trivial))
        lines.append(
            f"{shown.title} {own:.2f} {shown.unit}; {shown.trivial_answer}: {trivial:.2f} {shown.unit}"
            f" ({own - trivial:+.2f} {shown.unit})"
        )
    lines += [f"samples     {grid}" for grid in grids[-1:]]
    lines += [
        f"metrics     {folder / 'metrics.csv'}",
        f"checkpoint  {checkpoint}",
    ]
    if verb := TRY_IT.get(task_of(module)):
        lines.append(f"try it      {shlex.join(['chromafill', *verb, '--checkpoint', str(checkpoint)])}")
    return "\n".join(lines)
