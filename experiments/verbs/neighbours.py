"""`chromafill neighbours`: which images a network takes for alike, by the features of one of its layers."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import torch

from experiments.arguments import Parser
from experiments.compose import settings_given
from experiments.errors import UserError
from experiments.evaluation.setup import data_name, prepare
from experiments.pages.render import image_uri, render
from experiments.photographs import pick_device
from experiments.progress import ProgressLines
from experiments.run_record import write_text
from lightning_modules.metrics.k_nearest import k_nearest, vote
from lightning_modules.ops.layer_maps import layer_named
from lightning_modules.ops.png import to_uint8
from lightning_modules.pretrained.encoder import features

MOST_FEATURES = 2_048  # numbers of an image's features: the layer's map is averaged to a coarser grid
THUMBNAIL = 160  # longest side of a picture on the page
COUNTS = {"k": 5, "queries": 1_000, "answers": 10_000, "shown": 24}  # settings of this verb, beside `layer`


def parser():
    return Parser(
        "neighbours",
        "The nearest training images of test images, by the cosine of the features of one layer: an inpainter sees\n"
        "both with their holes, a colorizer sees them grey. Settings are those of `evaluate`, and:\n\n"
        "  layer=NAME     the layer, as `named_modules` of PyTorch has it\n"
        f"  k={COUNTS['k']}            neighbours of each query\n"
        f"  queries={COUNTS['queries']}   test images, drawn with the seed where there are more\n"
        f"  answers={COUNTS['answers']}  training images that are searched, drawn likewise\n"
        f"  shown={COUNTS['shown']}       queries on the page",
        "chromafill neighbours checkpoint=runs/mine/checkpoints/best.ckpt layer=network.model7 output=alike",
    ).overrides()


def run(arguments):
    asked, overrides = own_settings(arguments.overrides)
    setup = prepare(overrides)
    candidate = only_checkpoint(setup.candidates)
    layer = chosen_layer(candidate.module, asked["layer"])
    folder = output_folder(setup.config, candidate.name, layer)
    searched = min(asked["answers"], len(setup.data.dataset("train")))
    if asked["k"] > searched:
        raise UserError(f"k = {asked['k']} neighbours cannot be found among {searched} images")
    module = candidate.module.to(pick_device("cpu" if setup.config["trainer"]["accelerator"] == "cpu" else "auto"))
    split = setup.config["split"]
    queries = bank(module, layer, setup.data, split, asked["queries"])
    answers = bank(module, layer, setup.data, "train", asked["answers"])
    similarity, nearest = k_nearest(queries.vectors, answers.vectors, asked["k"])
    result = Result(queries=queries, answers=answers, similarity=similarity, nearest=nearest)

    about = {"checkpoint": candidate.name, "layer": layer, "data": data_name(setup.config["data"]), "split": split}
    about |= {"task": candidate.task, "k": asked["k"]}
    page = neighbours_page(result, setup.data, about, asked["shown"])
    write(folder, {"neighbours.csv": neighbours_csv(result), "neighbours.html": page})
    print(summary(result, about))
    print(f"page  {folder / 'neighbours.html'}\ntable {folder / 'neighbours.csv'}")


def own_settings(overrides):
    """({name: value} of this verb's own settings, the other overrides)."""
    given = settings_given(overrides)
    asked = {"layer": None} | COUNTS
    asked |= {name: given[name] for name in asked if name in given}
    for name in COUNTS:
        if not isinstance(asked[name], int) or asked[name] < 1:
            raise UserError(f"{name} must be an integer of at least 1, got {asked[name]}")
    return asked, [each for each in overrides if each.partition("=")[0] not in asked]


def only_checkpoint(candidates):
    found = [candidate for candidate in candidates if candidate.module is not None]
    if len(found) != 1:
        raise UserError(f"neighbours are those of one checkpoint; checkpoint=... names {len(found)}")
    return found[0]


def chosen_layer(module, name):
    """The name, if the module has such a layer."""
    if name is None:
        parts = [each for each, _ in module.named_modules() if each.count(".") == 1]
        raise UserError(f"give layer=NAME; there are, among others: {', '.join(parts[:8])}")
    try:
        layer_named(module, str(name))
    except ValueError as error:
        raise UserError(f"layer: {error}") from None
    return str(name)


def output_folder(config, checkpoint, layer):
    """`output`, or neighbours/ in the run's folder. Not made yet."""
    parent = Path(checkpoint).parent
    run = parent.parent if parent.name == "checkpoints" else parent
    default = run / "neighbours" / f"{data_name(config['data'])}-{config['split']}-{layer}"
    folder = default if config["output"] is None else Path(config["output"])
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output {folder} is a file; give a folder")
    return folder


@dataclass(kw_only=True)
class Bank:
    """Images of a split and their features."""

    split: str
    positions: list[int]
    names: list[str]
    vectors: torch.Tensor  # (N,D)
    labels: torch.Tensor | None  # (N,)
    classes: list[str] | None

    def label(self, row):
        """The name of an image's label, or '' where there are no labels."""
        if self.labels is None:
            return ""
        number = self.labels[row].item()
        return str(number) if self.classes is None else self.classes[number]


@dataclass(kw_only=True)
class Result:
    queries: Bank
    answers: Bank
    similarity: torch.Tensor  # (N,k)
    nearest: torch.Tensor  # (N,k) rows of answers

    def votes(self):
        """The label (N,) that each query's neighbours vote for, or None without labels."""
        if self.queries.labels is None or self.answers.labels is None:
            return None
        return vote(self.answers.labels[self.nearest], self.similarity)


def drawn(length, most, seed):
    """At most `most` of the positions 0 to length - 1, in order. Not evenly spread: labels often come in turns."""
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    return order[:most].sort().values.tolist()


@torch.inference_mode()
def bank(module, layer, data, split, most):
    """The features of up to `most` images of a split, on the CPU."""
    dataset = data.dataset(split)
    positions, size = drawn(len(dataset), most, data.seed), data.config.batch_size
    keys = [[(0, place) for place in positions[first : first + size]] for first in range(0, len(positions), size)]
    vectors, labels = [], []
    with ProgressLines(len(keys), f"{split}, batches") as progress:
        for batch in data.loader(dataset, keys):
            batch = data.on_after_batch_transfer({key: value.to(module.device) for key, value in batch.items()})
            try:
                found = features(module, [layer], batch, MOST_FEATURES)[layer].cpu()
            except ValueError as error:
                raise UserError(f"layer: {error}") from None
            broken = ~found.isfinite().flatten(1).all(dim=1)
            if broken.any():
                name = dataset.name(batch["index"][broken.nonzero()[0, 0]].item())
                raise UserError(f"{name}: features of {layer} are no numbers; is the checkpoint sound?")
            vectors.append(found)
            labels += batch["label"].tolist() if "label" in batch else []
            progress.advance()
    return Bank(
        split=split,
        positions=positions,
        names=[dataset.name(place) for place in positions],
        vectors=torch.cat(vectors),
        labels=torch.tensor(labels) if labels else None,
        classes=dataset.source.classes,
    )


def neighbours_csv(result):
    """A line for each neighbour, nearest first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["query", "query_label", "rank", "neighbour", "neighbour_label", "similarity"])
    queries, answers = result.queries, result.answers
    for row, (rows, similarities) in enumerate(zip(result.nearest.tolist(), result.similarity.tolist(), strict=True)):
        for rank, (other, similarity) in enumerate(zip(rows, similarities, strict=True), 1):
            names = queries.names[row], queries.label(row), rank, answers.names[other], answers.label(other)
            writer.writerow([*names, f"{similarity:.6f}"])
    return text.getvalue()


def picture(data, split, position):
    """The data URI of an image as it was seen, but in colour: a hole is white."""
    dataset = data.dataset(split)
    item = torch.utils.data.default_collate([dataset[0, position]])
    batch = data.on_after_batch_transfer(item)
    shown = batch["image"]
    if "mask" in batch:
        shown = shown * (1 - batch["mask"]) + batch["mask"]
    return image_uri(to_uint8(shown[0]), side=THUMBNAIL)


def neighbours_page(result, data, about, shown):
    """The text of the page, with `shown` queries."""
    queries, answers, votes = result.queries, result.answers, result.votes()
    pictures = {}  # of answers, which several queries may share

    def answer_picture(row):
        if row not in pictures:
            pictures[row] = picture(data, "train", answers.positions[row])
        return pictures[row]

    cards = []
    for row in drawn(len(queries.names), shown, data.seed):
        near = [
            {
                "name": answers.names[other],
                "label": answers.label(other),
                "same": queries.label(row) == answers.label(other),
                "similarity": result.similarity[row, rank].item(),
                "picture": answer_picture(other),
            }
            for rank, other in enumerate(result.nearest[row].tolist())
        ]
        cards.append(
            {
                "name": queries.names[row],
                "label": queries.label(row),
                "right": None if votes is None else votes[row].item() == queries.labels[row].item(),
                "picture": picture(data, queries.split, queries.positions[row]),
                "near": near,
            }
        )
    labels = sorted({card["label"] for card in cards} - {""})
    return render("neighbours.html", about=about, summary=summary(result, about), cards=cards, labels=labels)


def summary(result, about):
    """What was searched, and how often the neighbours' labels tell the query's."""
    counts = f"{len(result.queries.names)} images of {result.queries.split} among {len(result.answers.names)} of train"
    votes = result.votes()
    if votes is None:
        return f"{counts}, {about['k']} neighbours each; the images have no labels"
    right = (votes == result.queries.labels).double().mean().item()
    commonest = torch.bincount(result.queries.labels).max().item() / len(result.queries.labels)
    return f"{counts}: {about['k']}-NN accuracy {100 * right:.2f} %; the commonest label: {100 * commonest:.2f} %"


def write(folder, files):
    """{name: text} into the folder, each under a temporary name first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(folder / name, text)
    except OSError as error:
        raise UserError(f"output {folder} cannot be written: {error.strerror}") from None
