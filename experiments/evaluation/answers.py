"""The answers to a few images of an evaluation once more, as pictures for its page."""

import torch
from torch.utils.data import default_collate

from experiments.evaluation.examples import Example, pick_examples
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.page import evaluation_page
from experiments.evaluation.statistics import columns
from lightning_modules.ops.png import to_uint8
from lightning_modules.tasks import grey


def page_of(record, setup, rows, names, fabric):
    """The text of the page: examples are picked by the first metric of the first candidate, and answered again."""
    metric = picked_by(record)
    better = METRICS[setup.candidates[0].task][metric].better
    values = {candidate.name: {} for candidate in setup.candidates}
    for (candidate, name), (of_images, _) in columns(rows).items():
        values[candidate][name] = of_images.tolist()
    picked = pick_examples(values[setup.candidates[0].name][metric], better, setup.config["examples"])
    examples = [example(setup, rows[at], names[at], place, fabric) for at, place in picked]
    return evaluation_page(record, examples, values, metric)


def picked_by(record):
    """The score that examples are picked by: the first of images that the first candidate has, or None."""
    of_images = (name for name, about in record["metrics"].items() if about["over"] == "images")
    return next((name for name in of_images if name in record["rows"][0]["means"]), None)


@torch.inference_mode()
def example(setup, row, name, place, fabric):
    data = setup.data
    item = data.dataset(setup.config["split"])[0, row.index]
    batch = data.on_after_batch_transfer(fabric.to_device(default_collate([item])))
    with fabric.autocast():
        answers = {candidate.name: picture(candidate.answer(batch)) for candidate in setup.candidates}
    return Example(
        index=row.index,
        name=name,
        hole_ratio=row.hole_ratio,
        place=place,
        pictures=shown(batch),
        answers=answers,
        scores=row.scores,
    )


def shown(batch):
    """What the candidates see, the mask and the truth."""
    image, mask = batch["image"], batch.get("mask")
    if mask is None:
        return {"input": picture(grey(image)), "truth": picture(image)}
    return {
        "input": picture(image * (1 - mask) + mask),  # the hole in white
        "mask": picture(mask.expand_as(image)),
        "truth": picture(image),
    }


def picture(image):
    """The first of a batch as uint8 RGB (3,H,W) on the CPU."""
    return to_uint8(image[0].float()).cpu()
