"""The table of scores, from scores.json's record: for the terminal, for a README and for a paper."""

from rich.markup import escape
from rich.table import Table

from experiments.tables import show

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
LATEX_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", None: ""}
LATEX_LETTERS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
MISSING = "–"
FULL_RANK = 2049  # images from which on FID's covariances can have full rank


def latex(text):
    """Text that TeX prints as it is."""
    return "".join(LATEX_LETTERS.get(letter, letter) for letter in text)


def title(record):
    protocol = record["protocol"]
    return f"{protocol['name']} on {protocol['data']} ({protocol['split']}), {protocol['count']} images"


def unit(metric):
    return f", {metric['unit']}" if metric["unit"] else ""


def number(mean, digits):
    """'23.76', and '± 0.41' after it: half the width of the interval."""
    if mean is None:
        return MISSING
    text = f"{mean['value']:.{digits}f}"
    if mean["low"] is None:
        return text
    return f"{text} ± {(mean['high'] - mean['low']) / 2:.{digits}f}"


def cells(record):
    """[(name, [a mean or None for each metric])]."""
    return [(row["name"], [row["means"].get(metric) for metric in record["metrics"]]) for row in record["rows"]]


def best(record):
    """{metric: names of the rows with the best printed value}; nothing for a metric that has no better end, or where no
    two rows compete."""
    found = {}
    for metric, about in record["metrics"].items():
        if about["better"] is None:
            continue
        values = {row["name"]: row["means"][metric]["value"] for row in record["rows"] if metric in row["means"]}
        pick = max if about["better"] == "higher" else min
        printed = {name: round(value, about["digits"]) for name, value in values.items() if name != "baseline/truth"}
        if len(printed) > 1:
            found[metric] = {name for name, value in printed.items() if value == pick(printed.values())}
    return found


def cost_columns(record):
    """{heading: text of each row}: time of an answer and, on a GPU, memory."""
    costs = [row["cost"] for row in record["rows"]]
    columns = {"ms": [f"{1000 * cost['seconds_per_image']:.1f}" for cost in costs]}
    if any(cost["peak_memory_bytes"] for cost in costs):
        columns["MiB"] = [f"{(cost['peak_memory_bytes'] or 0) / 2**20:.0f}" for cost in costs]
    return columns


def notes(record):
    """Lines below the table: what the numbers are, and what is absent and why."""
    lines = [
        "±: half of the 95 % bootstrap interval over images (not over trainings). ms: time of one answer alone.",
        f"Memory: {record['memory']}.",
    ]
    count = record["protocol"]["count"]
    if count < FULL_RANK and "fid" in record["metrics"]:
        lines.append(f"FID of {count} images is biased upwards: compare it at the same count only.")
    return lines + [f"no {metric}: {why}" for metric, why in record["absent"].items()]


def print_scores(record):
    """Rows are candidates, columns metrics with their unit and an arrow to the better end."""
    table = Table(title=escape(title(record)), title_justify="left")
    table.add_column("", overflow="fold")
    for metric in record["metrics"].values():
        table.add_column(f"{metric['title']}{unit(metric)}{ARROWS[metric['better']]}", justify="right")
    costs = cost_columns(record)
    for heading in costs:
        table.add_column(heading, justify="right")
    digits = [metric["digits"] for metric in record["metrics"].values()]
    for (name, means), *cost in zip(cells(record), *costs.values(), strict=True):
        table.add_row(escape(name), *map(number, means, digits), *cost)
    show(table)
    for line in notes(record):
        print(line)


def markdown(record):
    """The table of all images and, where the protocol has buckets, one of each that is not empty."""
    parts = [markdown_table(title(record), record, record["rows"], cost_columns(record))]
    for bucket in filter(lambda bucket: bucket["count"], record["buckets"]):
        heading = f"Hole ratio ({bucket['low']:g}, {bucket['high']:g}], {bucket['count']} images"
        parts.append(markdown_table(heading, record, bucket["rows"], {}))
    return "\n".join([*parts, *(f"- {line}" for line in notes(record)), ""])


def markdown_table(heading, record, rows, costs):
    metrics = {name: of for name, of in record["metrics"].items() if any(name in row["means"] for row in rows)}
    head = [*(f"{of['title']}{unit(of)}{ARROWS[of['better']]}" for of in metrics.values()), *costs]
    lines = [f"**{heading}**", "", " | ".join(["| candidate", *head]) + " |", "|---" + "|---:" * len(head) + "|"]
    for at, row in enumerate(rows):
        values = [number(row["means"].get(name), of["digits"]) for name, of in metrics.items()]
        values += [column[at] for column in costs.values()]
        lines.append(" | ".join([f"| {row['name'].replace('|', chr(92) + '|')}", *values]) + " |")
    return "\n".join(lines) + "\n"


def latex_table(record):
    """A booktabs table, the best value of each metric in bold; the protocol and its hash in the caption."""
    metrics, top = record["metrics"], best(record)
    head = [f"{latex(of['title'] + unit(of))}{LATEX_ARROWS[of['better']]}" for of in metrics.values()]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(title(record))}. Protocol {record['protocol_sha256'][:8]}. "
        r"$\pm$: half of the 95\,\% bootstrap interval over images.}",
        rf"\begin{{tabular}}{{l{'r' * len(head)}}}",
        r"\toprule",
        " & ".join(["", *head]) + r" \\",
        r"\midrule",
    ]
    for name, means in cells(record):
        values = []
        for (metric, of), mean in zip(metrics.items(), means, strict=True):
            value = number(mean, of["digits"]).replace("±", r"$\pm$").replace(MISSING, "--")
            values.append(rf"\textbf{{{value}}}" if name in top.get(metric, ()) else value)
        lines.append(" & ".join([latex(name), *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def print_comparisons(record, seconds):
    """How the first candidate differs from each of `seconds`, names of other rows; nothing for one image."""
    shown = [each for each in record["comparisons"] if each["second"] in seconds]
    if not shown:
        return
    table = Table(title=f"{escape(shown[0]['first'])} minus another, same images", title_justify="left")
    for column in ("", "metric"):
        table.add_column(column, overflow="fold")
    for column in ("difference", "95 % interval", "p", "p (Holm)"):
        table.add_column(column, justify="right")
    for each in shown:
        metric = record["metrics"][each["metric"]]
        low, high = (f"{each[end]:+.{metric['digits']}f}" for end in ("low", "high"))
        table.add_row(
            escape(each["second"]),
            f"{metric['title']}{unit(metric)}",
            f"{each['difference']:+.{metric['digits']}f}",
            f"{low} to {high}",
            f"{each['p']:.4f}",
            f"{each['p_holm']:.4f}",
        )
    show(table)
    print("p (Holm): for all scores of a pair together.")
