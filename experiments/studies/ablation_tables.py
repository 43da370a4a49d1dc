"""The tables of an ablation from its record: for a README, for a paper and for the terminal."""

import shlex

from rich.markup import escape
from rich.table import Table

from experiments import run_query
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.score_tables import ARROWS, MISSING, latex, unit
from experiments.tables import show

FROM_MEMORY = "from memory"
TEX = {"±": r"$\pm$", MISSING: "--", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$"}
WIDE = {"settings": "p{4cm}", "published": "p{5cm}"}  # columns of LaTeX that hold text; the first is l, others r
HOW = (
    "±: standard deviation over seeds (n - 1 below), none for one seed. Difference: the row minus {base}, of equal"
    " seeds; its interval and p are those of a paired t test over seeds, p (Holm) is for all rows of a metric.",
    "Seeds are the replicates: with two or three of them the interval is wide, and rightly so, and no p is small unless"
    " the seeds agree closely. 'Over images' takes the trained networks as given: it says whether these networks differ"
    " and not whether the next training would.",
)


def number(spread, digits):
    """'23.76 ± 0.41'."""
    if spread is None:
        return MISSING
    text = f"{spread['mean']:.{digits}f}"
    return text if spread["sd"] is None else f"{text} ± {spread['sd']:.{digits}f}"


def signed(value, digits):
    return MISSING if value is None else f"{value:+.{digits}f}"


def interval(difference, digits):
    if difference is None or difference["low"] is None:
        return MISSING
    return f"{difference['low']:+.{digits}f} to {difference['high']:+.{digits}f}"


def p_value(p):
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def settings(row):
    """What a row changes, in words."""
    if row["cannot"]:
        return MISSING
    if row["of"]:
        return f"{row['of']}, decoded with " + ", ".join(f"{key}={value}" for key, value in row["decoder"].items())
    words = " ".join(row["overrides"]) or "the experiment as it is"
    return words + (f", started from {row['start_from']}" if row["start_from"] else "")


def published(row, task):
    """The paper's numbers with their source, and what it claims without one."""
    values, parts = [published_value(*each, METRICS[task]) for each in row["published"].items()], []
    if values:
        where = [row["source"], FROM_MEMORY if row["from_memory"] else ""]
        parts.append(f"{', '.join(values)} ({'; '.join(filter(None, where))})")
    if row["claim"]:
        parts.append(f"claim: {row['claim']}")
    return "; ".join(parts) or MISSING


def published_value(name, value, metrics):
    """'AuC 89.5 %'. What is no metric here brings its unit along."""
    if name not in metrics:
        return f"{name} {value}"
    return f"{metrics[name].title} {value} {metrics[name].unit}".rstrip()


def runtime(row):
    """Time of a training, '12.3 ± 0.2 min'; nothing for a row that is only decoded."""
    took = row["seconds"]
    if took is None:
        return MISSING
    if took["mean"] < 90:
        return f"{number(took, 0)} s"
    return f"{number({key: took[key] and took[key] / 60 for key in ('mean', 'sd')}, 1)} min"


def reference(record, row):
    """' [2]' after the name of a row that `problem_lines` says something of."""
    having = [each["name"] for each in record["rows"] if each["problems"]]
    return f" [{having.index(row['name']) + 1}]" if row["problems"] else ""


def unscored(row):
    """What stands in place of the first score of a row that has none, or None."""
    if row["scores"]:
        return None
    if row["same_as"]:
        return f"as {row['same_as']}"
    return "cannot run" if row["cannot"] else "no score"


def headline(record):
    """The metric by which the table orders its differences: the first that was measured."""
    return next(iter(record["metrics"]))


def base_departs(record):
    """What the base row has otherwise than the paper, as one line."""

    def words(changed):
        pairs = [f"{key}={run_query.text(here)} ({run_query.text(there)})" for key, (here, there) in changed.items()]
        return ", ".join(pairs) or "nothing"

    found = record["departures"]
    return (
        f"Row {record['base']} departs from the paper's model settings (in brackets) in {words(found['model'])}, and"
        f" from its full recipe {found['experiment']} in {words(found['recipe'])}."
    )


def notes(record):
    """Lines below the tables."""
    protocol = record["protocol"]
    lines = [
        f"Ours: {protocol['count']} images of {protocol['data']} ({protocol['split']}), protocol {protocol['name']},"
        " the same images and masks for every row. Published numbers are of the paper's own data and training.",
        *(line.format(base=record["base"]) for line in HOW),
    ]
    lines += [f"no {metric}: {why}" for metric, why in record["absent"].items()]
    if record["left_out"]:
        lines.append(f"Rows of the file that are not in this report: {', '.join(record['left_out'])}.")
    return lines


def made_by(record):
    """The line that says where a file comes from."""
    state = "" if record["clean"] else ", with changes that are not committed"
    return f"Made by: {shlex.join(record['command'])} (commit {record['commit']}{state}). Not to be edited by hand."


def main_table(record):
    """(headings, rows of texts): one row each, then the answers without training."""
    metrics, first = record["metrics"], headline(record)
    heads = [f"{of['title']}{unit(of)}{ARROWS[of['better']]}" for of in metrics.values()]
    digits = metrics[first]["digits"]
    table = []
    for row in record["rows"]:
        difference = row["difference"].get(first)
        scores = [number(row["scores"].get(name), of["digits"]) for name, of in metrics.items()]
        table.append(
            [
                row["name"] + reference(record, row),
                settings(row),
                published(row, record["protocol"]["task"]),
                unscored(row) or scores[0],
                *scores[1:],
                signed(difference and difference["mean"], digits),
                str(len(row["seeds"])),
                runtime(row),
            ]
        )
    for baseline in record["baselines"]:
        values = [baseline["means"].get(name) for name in metrics]
        shown = [
            MISSING if value is None else f"{value:.{of['digits']}f}"
            for value, of in zip(values, metrics.values(), strict=True)
        ]
        table.append([f"baseline/{baseline['name']}", "", "", *shown, "", "", ""])
    return ["row", "settings", "published", *heads, f"Δ {metrics[first]['title']}", "seeds", "runtime"], table


def difference_table(record, metric):
    """(headings, rows of texts) of the differences to the base row in one metric."""
    digits = record["metrics"][metric]["digits"]
    table = []
    for row in record["rows"]:
        difference = row["difference"].get(metric)
        if difference is None:
            continue
        images = difference["images"]
        table.append(
            [
                row["name"],
                signed(difference["mean"], digits),
                ", ".join(f"{signed(value, digits)}" for value in difference["of_seeds"].values()),
                interval(difference, digits),
                p_value(difference["p"]),
                p_value(difference["p_holm"]),
                interval(images, digits),
                p_value(images and images["p"]),
            ]
        )
    heads = [
        "row",
        "difference",
        "of each seed",
        "95 % (t, seeds)",
        "p",
        "p (Holm)",
        "95 % over images",
        "p over images",
    ]
    return heads, table


def problem_lines(record):
    """[(name, its reference, what is wrong with its runs)] of the rows where something is."""
    return [
        (row["name"], reference(record, row).strip(), "; ".join(row["problems"]))
        for row in record["rows"]
        if row["problems"]
    ]


def markdown(record):
    lines = [f"# Ablation {record['ablation']}: {record['study']}", "", made_by(record), ""]
    lines += ["Every row trains with " + ", ".join(f"`{word}`" for word in record["overrides"]) + ".", ""]
    lines += [base_departs(record), ""]
    lines += markdown_table(*main_table(record))
    for metric, of in record["metrics"].items():
        heads, table = difference_table(record, metric)
        if table:
            lines += [
                "",
                f"## {of['title']}{unit(of)}: difference to {record['base']}",
                "",
                *markdown_table(heads, table),
            ]
    if problem_lines(record):
        lines += ["", "## Not run, or not finished", ""]
        lines += [f"- {at} **{name}**: {problem}" for name, at, problem in problem_lines(record)]
    return "\n".join([*lines, "", *(f"- {line}" for line in notes(record)), ""])


def markdown_table(heads, rows):
    def line(cells):
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(heads), "|---" * len(heads) + "|", *map(line, rows)]


def latex_tables(record):
    """The tables of the Markdown as booktabs tables, with what stands below them as notes of the first."""
    protocol, name = record["protocol"], f"{record['ablation']} ({record['study']})"
    caption = f"Ablation {name}: {protocol['count']} images of {protocol['data']}, protocol {protocol['name']}."
    below = [f"{at} {name}: {problem}" for name, at, problem in problem_lines(record)]
    lines = [f"% {made_by(record)}"]
    lines += latex_table(caption, *main_table(record), [base_departs(record), *below, *notes(record)])
    for metric, of in record["metrics"].items():
        heads, table = difference_table(record, metric)
        if table:
            title = f"Ablation {name}: {of['title']}{unit(of)}, difference to {record['base']}."
            lines += latex_table(title, heads, table, [])
    return "\n".join([*lines, ""])


def latex_table(caption, heads, rows, below):
    """Lines of one table. below: lines of text."""
    columns = "".join(WIDE.get(head, "r") for head in heads[1:])
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(caption)}}}",
        rf"\begin{{tabular}}{{l{columns}}}",
        r"\toprule",
        tex_row(heads),
        r"\midrule",
        *map(tex_row, rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {tex(line)}" for line in below),
        r"\end{table}",
    ]


def tex_row(cells):
    return " & ".join(map(tex, cells)) + r" \\"


def tex(text):
    """Text that TeX prints as it is, signs of the tables among it."""
    return "".join(TEX.get(letter, letter) for letter in latex(text))


def print_tables(record):
    heads, rows = main_table(record)
    keep = [at for at, head in enumerate(heads) if head not in ("settings", "published")]
    table = Table(title=f"{record['study']}: {record['protocol']['name']}", title_justify="left")
    for at in keep:
        table.add_column(heads[at], justify="left" if at == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(row[at]) for at in keep))
    show(table)
    for name, at, problem in problem_lines(record):
        print(f"{at} {name}: {problem}")
