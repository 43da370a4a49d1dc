"""metrics.csv, which every run has."""

import csv
import io
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from experiments.run_record import write_text


class MetricsCSV(Logger):
    """metrics.csv: one row an iteration, one column a metric, empty where it was not measured.

    A resumed run drops the rows after the iteration it starts from, so that the file equals that of a run which was
    never stopped (but for `iterations_per_second`).
    """

    name = version = None

    def __init__(self, path, start=0):
        super().__init__()
        self.path, self.start = Path(path), start
        self.rows = None

    def read(self):
        """{iteration: {column: text}} of the rows that are kept from before. A row that was cut off when the run was
        killed, or the disk was full, belongs to an iteration that is done again."""
        if not self.path.exists():
            return {}
        whole = self.path.read_bytes().decode().rpartition("\n")[0]
        rows = {int(row["iteration"]): row for row in csv.DictReader(io.StringIO(whole, newline=""))}
        return {iteration: row for iteration, row in rows.items() if iteration <= self.start}

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        first = self.rows is None
        if first:
            self.rows = self.read()
            self.columns = list(next(iter(self.rows.values()), {"iteration": ""}))
        new = [name for name in metrics if name not in self.columns]
        revisited = step in self.rows
        self.columns += new
        self.rows[step] = self.rows.get(step, {"iteration": step}) | {k: repr(v) for k, v in metrics.items()}
        if first or new or revisited:
            self.rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns, restval="").writerow(self.rows[step])

    def rewrite(self):
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, self.columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_text(self.path, table.getvalue())

    def log_hyperparams(self, *args, **kwargs):
        """config.yaml has them."""
