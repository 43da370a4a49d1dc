"""A progress bar with rate and time left in a terminal; plain lines where the output is none."""

import sys
import time

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 15.0  # seconds between plain lines


def bar(description_width=28):
    """A rich progress bar on standard error."""
    return Progress(
        TextColumn(f"{{task.description:<{description_width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class ProgressLines:
    """Counts work of any kind: `with ProgressLines(total, "colorize") as progress: progress.advance("file")`."""

    def __init__(self, total, description, done=0):
        self.total, self.description, self.done, self.first = total, description, done, done
        self.terminal = sys.stderr.isatty()
        self.started = self.printed = time.monotonic()

    def __enter__(self):
        self.started = self.printed = time.monotonic()
        if self.terminal:
            self.bar = bar()
            self.task = self.bar.add_task(self.description, total=self.total, completed=self.done, rate="")
            self.bar.start()
        return self

    def __exit__(self, *_):
        if self.terminal:
            self.bar.stop()

    def rate(self):
        return (self.done - self.first) / max(time.monotonic() - self.started, 1e-9)

    def advance(self, note=""):
        """One more done. `note` is shown beside the bar, or in the next plain line."""
        self.done += 1
        if self.terminal:
            text = f"{self.rate():.1f}/s {note}"
            self.bar.update(self.task, completed=self.done, rate=text)
        elif time.monotonic() - self.printed >= LINE_EVERY or self.done == self.total:
            self.printed = time.monotonic()
            left = (self.total - self.done) / max(self.rate(), 1e-9)
            line = f"{self.description} {self.done}/{self.total}  {self.rate():.1f}/s  {left:.0f} s left  {note}"
            print(line.rstrip(), file=sys.stderr, flush=True)


class TrainingProgress(pl.Callback):
    """Progress of a run in iterations, on rank 0, with the losses, which are read every ten iterations: that waits for
    the device."""

    def __init__(self, iterations):
        self.iterations = iterations
        self.progress, self.note = None, ""

    def on_train_start(self, trainer, module):
        if trainer.is_global_zero:
            self.progress = ProgressLines(self.iterations, "train", done=module.iteration).__enter__()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if self.progress is None:
            return
        if module.iteration % 10 == 0 or module.iteration == self.iterations:
            self.note = losses(module.terms)
        self.progress.advance(self.note)

    def on_train_end(self, trainer, module):
        self.close()

    def on_exception(self, trainer, module, exception):
        self.close()

    def close(self):
        if self.progress is not None:
            self.progress.__exit__()
            self.progress = None


def losses(terms):
    """'g 0.123  d 0.456': the totals among the logged terms."""
    totals = {name.split("/")[1]: value.item() for name, value in terms.items() if name.endswith("/total")}
    return "  ".join(f"loss {name} {value:.4g}" for name, value in totals.items())
