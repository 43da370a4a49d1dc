"""`chromafill <verb>`: finds the verb, runs it, and turns a user's mistake into one line and exit code 2."""

import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, nullcontext

from experiments.errors import UserError, nearest

VERBS = {  # verb: (module with `parser` and `run`, what it does)
    "train": ("experiments.verbs.train", "train a paper on a data set"),
    "evaluate": ("experiments.verbs.evaluate", "score checkpoints and baselines by a protocol"),
    "runs": ("experiments.verbs.runs", "list, compare and clean up the runs on disk"),
    "ablate": ("experiments.verbs.ablate", "train a paper's ablation and report it beside the published numbers"),
    "sweep": ("experiments.verbs.sweep", "search settings by many trainings, on one machine or on several"),
    "submit": ("experiments.verbs.submit", "run a verb as a job of a cluster, or in the background"),
    "dashboard": ("experiments.verbs.dashboard", "make the wandb workspace of a task"),
    "turing": ("experiments.verbs.turing", "make and score a test of whether people tell answers from photographs"),
    "neighbours": ("experiments.verbs.neighbours", "nearest training images by the features of a layer"),
    "colorize": ("experiments.verbs.colorize", "colour photographs with a checkpoint"),
    "inpaint": ("experiments.verbs.inpaint", "fill holes in photographs with a checkpoint"),
    "convert": ("experiments.verbs.convert", "make a checkpoint of published weights"),
    "papers": ("experiments.verbs.papers", "table of the papers that are implemented"),
    "config": ("experiments.verbs.config", "show, list and check configurations"),
    "data": ("experiments.verbs.data", "statistics, previews, priors, health, masks and shards of a data set"),
    "doctor": ("experiments.verbs.doctor", "versions, devices, wandb state and weight files"),
    "benchmark": ("experiments.verbs.benchmark", "speed and memory as ratios in one run"),
    "reliability": ("experiments.verbs.reliability", "kills, faults and hostile files, tried on this machine"),
}
# package: the extra that brings it
OPTIONAL = {"optuna": "sweep", "sqlalchemy": "sweep", "submitit": "slurm", "litdata": "stream"}


def usage():
    width = max(map(len, VERBS))
    rows = [f"  {verb:<{width}}  {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(["usage: chromafill <verb> ...", "", *rows, "", "chromafill <verb> --help shows an example."])


def main(argv=None):
    """Exit code: 0 done, 1 the work failed, 2 a mistake in what was asked."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    verb, *rest = elsewhere(argv)
    # Threads that wait for each other sleep instead of spinning: on a CPU that has other work to do, a training ran
    # eight times faster with it (measured, two cores, two other trainings). Must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if verb not in VERBS:
        print(f"chromafill: no verb '{verb}'{nearest(verb, VERBS)}", file=sys.stderr)
        return 2
    try:
        with leaving_at_once() if verb == "train" else nullcontext():
            module = importlib.import_module(VERBS[verb][0])
        quiet()
        return module.run(module.parser().parse_args(rest)) or 0
    except UserError as error:
        print(f"chromafill {verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"chromafill {verb}: interrupted", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        extra = OPTIONAL[error.name]
        print(f"chromafill {verb}: needs {error.name}: pip install 'chromafill[{extra}]'", file=sys.stderr)
        return 2
    except Exception as error:
        user_errors, failures = library_errors()
        if isinstance(error, user_errors + failures) and "CHROMAFILL_TRACEBACK" not in os.environ:
            if not getattr(error, "printed", False):
                print(f"chromafill {verb}: {error}", file=sys.stderr)
            return 2 if isinstance(error, user_errors) else 1
        raise


@contextmanager
def leaving_at_once():
    """Inside, a signal that a scheduler sends ends the process with exit code 75, as it does later in a training: the
    imports take seconds, and there is nothing to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), lambda *_: os._exit(75)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler or signal.SIG_DFL)


def elsewhere(argv):
    """`train ... launcher=slurm --dry-run` as `submit launcher=slurm --dry-run -- train ...`."""
    if argv[0] == "submit" or not any(word.startswith("launcher=") for word in argv):
        return argv
    settings, options = ("launcher=", "launcher."), ("--dry-run", "--help", "-h")
    to_submit = [word for word in argv if word.startswith(settings) or word in options]
    return ["submit", *to_submit, "--", *(word for word in argv if word not in to_submit)]


def library_errors():
    """(errors that are the user's to mend, errors of a run that explain themselves). Imported late: torch is slow."""
    from datamodules.errors import DataError
    from lightning_modules.base import NonFiniteError
    from lightning_modules.ops.distributed import LostRank
    from lightning_modules.pretrained.checkpoint import CheckpointError

    return (DataError, CheckpointError), (NonFiniteError, LostRank)


def quiet():
    """Lightning's advice and library deprecations are not for the person at the keyboard; errors and ours stay.

    Called after the verb's imports: Lightning sets the level of its loggers when it is imported.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("lightning.pytorch", "lightning.fabric", "lightning", "httpx", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It kills the process that it is in when another one has failed, and its line may be the last of the run.
    logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script").setLevel(logging.INFO)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    sys.exit(main())
