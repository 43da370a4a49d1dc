"""metrics.csv, which every run has."""

import csv
import io
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from experiments.run_record import write_text


class MetricsCSV(Logger):
    """metrics.csv: one row an iteration, one column a metric, empty where it was not measured.

    Of the rows the last alone is in memory: to it a validation adds its scores, for which the file is written anew.
    A resumed run drops the rows after the iteration it starts from, so that the file equals that of a run which was
    never stopped (but for `iterations_per_second`).
    """

    name = version = None

    def __init__(self, path, start=0):
        super().__init__()
        self.path, self.upto = Path(path), start  # rows of the file hold up to this iteration
        self.columns, self.last = None, {}  # last: the row that was written last, as text

    def rows(self):
        """{column: text} of each row that holds. One that was cut off when the run was killed, or the disk was full,
        belongs to an iteration that is done again."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                for row in csv.DictReader(line for line in file if line.endswith("\n")):
                    if int(row["iteration"]) <= self.upto:
                        yield row

    def begin(self):
        """Takes up the columns and the last row of a resumed run."""
        self.columns = ["iteration"]
        for row in self.rows():
            self.columns, self.last = list(row), row

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        first = self.columns is None
        if first:
            self.begin()
        new = [name for name in metrics if name not in self.columns]
        self.columns += new
        row = {"iteration": str(step)} | {name: repr(value) for name, value in metrics.items()}
        revisited = self.last.get("iteration") == str(step)
        self.last = self.last | row if revisited else row
        if first or new or revisited:
            self.rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns, restval="").writerow(self.last)
        self.upto = step

    def rewrite(self):
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.columns, restval="")
        writer.writeheader()
        writer.writerows(row for row in self.rows() if row["iteration"] != self.last["iteration"])
        writer.writerow(self.last)
        write_text(self.path, table.getvalue())

    def log_hyperparams(self, *args, **kwargs):
        """config.yaml has them."""
