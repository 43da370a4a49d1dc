"""`chromafill runs list|diff|stale|delete`: the runs on disk, compared and cleaned up."""

import csv
import hashlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from experiments.arguments import Parser
from experiments.errors import UserError
from experiments.run_index import QUIET, Run, default_folders, is_run, read_runs
from experiments.run_query import Condition, differences, needs_config, ordered_by, require_known, text, value
from experiments.run_removal import delete, planned
from experiments.tables import show

ACTIONS = ("list", "diff", "stale", "delete")
FIRST, LAST = ["run", "status", "experiment", "seed", "iteration"], ["wall_seconds", "started", "commit"]
SCORES = 3  # columns of scores where none are asked for
ROWS = 50  # of a table, where nobody asks for more
NOT_COMPARED = ("run_dir:", "resume:", "logger:", "log_every:")  # lines of config.yaml that change no weight


def parser():
    parser = Parser(
        "runs",
        "list: a table of runs. diff A B: what differs between two. stale: what is dead, without a checkpoint, or there"
        " twice. delete: deletes runs for good, once you say --yes; running ones are refused, and trials of studies"
        " unless you say --trials; links are not followed.\n"
        "Words are folders (default: runs and studies/*/runs) or filters: status=finished experiment='colorful*' seed=0"
        " commit=1a2b data=photos model.width=16 'val/psnr>23' (quote > and < and *).",
        "chromafill runs list status=finished data=photos --sort val/psnr -r",
    )
    parser.add_argument("words", nargs="*", metavar="action|folder|filter")
    parser.add_argument("--sort", metavar="KEY", default="started", help="default: newest first")
    parser.add_argument("-r", "--reverse", action="store_true", help="largest first")
    parser.add_argument("-c", "--columns", metavar="KEY,KEY", help="instead of the usual ones")
    parser.add_argument("-n", "--rows", type=int, default=ROWS, help=f"rows of a table; 0: all (default {ROWS})")
    parser.add_argument("--quiet", type=float, default=QUIET / 60, metavar="MINUTES", help="without a sign of life,"
                        " after which a run on another machine counts as stale (default 60)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="all of it, for programs")
    parser.add_argument("--csv", action="store_true", help="list: the columns, for programs")
    parser.add_argument("--yes", action="store_true", help="delete: do it")
    parser.add_argument("--trials", action="store_true", help="delete: also what studies trained, and will not again")
    return parser


def run(arguments):
    words = arguments.words
    if arguments.rows < 0:
        raise UserError(f"-n must be a number of rows, or 0 for all; got {arguments.rows}")
    action, words = (words[0], words[1:]) if words and words[0] in ACTIONS else ("list", words)
    return {"list": list_runs, "diff": diff, "stale": stale, "delete": delete_runs}[action](arguments, words)


def sorted_out(words):
    """(folders, conditions) among the words: a word that is a folder is one."""
    folders = [Path(word) for word in words if Path(word).is_dir()]
    filters = [word for word in words if not Path(word).is_dir()]
    for word in filters:
        if not any(sign in word for sign in "=<>"):
            raise UserError(f"'{word}' is no folder, no filter such as status=finished, no {', '.join(ACTIONS)}")
    return folders, [Condition.read(word) for word in filters]


def chosen_runs(arguments, words, keys=(), configs=False):
    """Runs in the folders among the words that fit the conditions among them."""
    folders, conditions = sorted_out(words)
    keys = [*keys, *(condition.key for condition in conditions)]
    runs = read_runs(folders or default_folders(), configs=configs or needs_config(keys), quiet=60 * arguments.quiet)
    if runs:
        require_known(keys, runs)
    return [run for run in runs if all(condition.holds(run) for condition in conditions)], conditions


def list_runs(arguments, words):
    asked = arguments.columns.split(",") if arguments.columns else []
    runs, conditions = chosen_runs(arguments, words, [*asked, arguments.sort], configs=arguments.json)
    newest_first = arguments.sort == "started"
    runs = ordered_by(runs, arguments.sort, reverse=arguments.reverse != newest_first)
    if arguments.json:
        print(json.dumps([plain(run) for run in runs], indent=2))
        return
    columns = asked or usual_columns(runs, [condition.key for condition in conditions] + [arguments.sort])
    rows = [[value(run, column) for column in columns] for run in runs]
    if arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
        return
    shown = rows[: arguments.rows] if arguments.rows else rows
    print_table(columns, [[brief(column, cell) for column, cell in zip(columns, row, strict=True)] for row in shown])
    counts = sorted(Counter(run.status for run in runs).items(), key=lambda pair: (-pair[1], pair[0]))
    hidden = f" (the first {len(shown)} are shown; -n 0 shows all)" if len(shown) < len(rows) else ""
    print(f"{len(runs)} runs: {', '.join(f'{n} {status}' for status, n in counts)}{hidden}")


def usual_columns(runs, keys):
    counts = Counter(score for run in runs for score in run.record.get("scores", {}))
    scores = sorted((score for score, _ in counts.most_common(SCORES)), key=lambda score: (score != "val/psnr", score))
    return list(dict.fromkeys([*FIRST, *scores, *keys, *LAST]))


def plain(run):
    """A run as JSON."""
    return {"run": str(run.folder), **run.record, "status": run.status, "damage": run.damage, "config": run.config}


def brief(column, cell):
    """A cell of a table for people."""
    if cell is None:
        return ""
    if column == "commit":
        return text(cell)[:9]
    if column == "started":
        return text(cell)[:19].replace("T", " ")
    return f"{cell:.4f}" if column.startswith("val/") and isinstance(cell, float) else text(cell)


def print_table(columns, rows):
    table = Table(*(escape(column) for column in columns))
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    show(table)


def one_run(arguments, word):
    """The run in a folder, or the only one whose path ends with the word."""
    if is_run(word):
        return read_runs([word], configs=True)[0]
    fitting = [run for run in read_runs(default_folders()) if f"/{run.folder}".endswith(f"/{word}")]
    if len(fitting) != 1:
        places = ", ".join(str(run.folder) for run in fitting[:3])
        raise UserError(f"no run '{word}'" if not fitting else f"several runs end with '{word}': {places}")
    return read_runs([fitting[0].folder], configs=True)[0]


def diff(arguments, words):
    if len(words) != 2:
        raise UserError(f"runs diff compares two runs; got {len(words)}")
    first, second = (one_run(arguments, word) for word in words)
    rows = differences(first, second)
    if arguments.json:
        keys = ("kind", "key", str(first.folder), str(second.folder))
        print(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    cells = [[kind, key, brief(key, a), brief(key, b)] for kind, key, a, b in rows]
    print_table(["", "key", str(first.folder), str(second.folder)], cells)


def stale(arguments, words):
    runs, _ = chosen_runs(arguments, words)
    found = [(run, fault) for run in runs if (fault := fault_of(run)) is not None]
    found += [(run, f"same settings and seed as {kept.folder}, which is newer") for run, kept in repeated(runs)]
    rows = [[str(run.folder), run.status, fault] for run, fault in found]
    if arguments.json:
        print(json.dumps([dict(zip(("run", "status", "fault"), row, strict=True)) for row in rows], indent=2))
        return
    shown = rows[: arguments.rows] if arguments.rows else rows
    print_table(["run", "status", "what is wrong"], shown)
    hidden = f" (the first {len(shown)} lines are shown; -n 0 shows all)" if len(shown) < len(rows) else ""
    print(f"{len({str(run.folder) for run, _ in found})} of {len(runs)} runs{hidden}")


def fault_of(run):
    """What makes a run one to look at, or None."""
    kept = any((run.folder / "checkpoints").glob("*.ckpt"))
    after = "goes on with resume=auto" if kept else "without a checkpoint: starts anew"
    faults = {
        "damaged": run.damage,
        "empty": "ended before it began to train",
        "stale": f"says running, but nothing runs there; {after}",
        "interrupted": f"unfinished; {after}",
        "failed": f"{run.record.get('reason')}; {after}",
        "finished": None if kept else "finished, but its checkpoints are gone",
    }
    return faults.get(run.status)


def repeated(runs):
    """(older run, newest run) of finished runs with the same settings and seed."""
    same = defaultdict(list)
    for run in runs:
        if run.status == "finished" and (run.folder / "config.yaml").is_file():
            same[fingerprint(run.folder / "config.yaml")].append(run)
    for group in same.values():
        *older, newest = sorted(group, key=lambda run: text(run.record.get("started")))
        yield from ((run, newest) for run in older)


def fingerprint(path):
    """What config.yaml says that decides on the weights."""
    lines = path.read_bytes().splitlines()
    kept = [line for line in lines if not line.startswith(tuple(key.encode() for key in NOT_COMPARED))]
    return hashlib.sha256(b"\n".join(kept)).digest()


def delete_runs(arguments, words):
    folders, conditions = sorted_out(words)
    if not words:
        raise UserError("runs delete needs folders of runs or filters, such as status=failed")
    for folder in folders:
        if not conditions and not is_run(folder):
            raise UserError(f"{folder} is not the folder of a run; a filter beside it chooses among the runs below it")
    links = [Run(folder=folder, record={}) for folder in folders if folder.is_symlink()]
    plan = [planned(run, arguments.trials) for run in links or chosen_runs(arguments, words)[0]]
    print_table(
        ["run", "files", "MB", "refused because"],
        [[str(each.folder), str(each.files), f"{each.size / 1e6:.1f}", each.refused or ""] for each in plan],
    )
    allowed = [each for each in plan if each.refused is None]
    total = f"{len(allowed)} runs, {sum(each.size for each in allowed) / 1e6:.1f} MB"
    if not arguments.yes:
        print(f"nothing deleted; --yes deletes {total} for good")
        return 0
    for each in allowed:
        delete(each.folder)
    print(f"deleted {total}; refused {len(plan) - len(allowed)}")
    return 1 if len(allowed) < len(plan) else 0
