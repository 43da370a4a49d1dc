"""`chromafill colorize`: photographs in, coloured photographs out, at their own resolution and lightness.

Colour is predicted at the network's size, in batches; the full-size join runs in strips, into the photograph itself,
one at a time: 100 megapixels take 1.9 GiB in all, 1.1 of them above the libraries (on a CPU, with a small network).
"""

from dataclasses import dataclass
from functools import partial
from inspect import signature

import torch
from torch.nn import functional as F

from datamodules.base import printable
from datamodules.decoding import Photo, read_photo, write_photo
from datamodules.errors import UnreadableImage
from experiments.arguments import Parser
from experiments.checkpoints import load_module
from experiments.errors import UserError
from experiments.photographs import Tally, Work, add_options, finished, pick_device, plan, positive
from experiments.progress import ProgressLines

STRIP_PIXELS = 1_000_000  # of a photograph that are converted to or from Lab at a time
HELD_PIXELS = 64_000_000  # of photographs that wait for others of their network size


def parser():
    parser = Parser(
        "colorize",
        "Colour photographs with a checkpoint. Lightness, size, transparency, EXIF and colour profile are kept.",
        "chromafill colorize scans/ --checkpoint runs/colorful_photos/RUN/checkpoints/best.ckpt -o colored",
    )
    add_options(parser, folder="colored", file_format="keep")
    parser.add_argument(
        "--size", type=positive, help="shorter side at which the network sees a photograph (default: the model's)"
    )
    parser.add_argument(
        "--top-k",
        type=positive,
        metavar="K",
        help="print the K likeliest classes of each photograph (checkpoints of let_there_be_color)",
    )
    parser.add_argument(
        "--style-image",
        metavar="PHOTO",
        help="take the mood, season or time of day from another photograph (checkpoints of let_there_be_color)",
    )
    parser.add_argument("--batch-size", type=positive, default=8, help="photographs at a time (default: %(default)s)")
    return parser


@dataclass
class Sample:
    """A photograph that waits for its colour."""

    work: Work
    photo: Photo
    lightness: torch.Tensor  # (1,1,h,w) at the network's size

    @property
    def pixels(self):
        return self.photo.image[0].numel()


def run(arguments):
    works, device = plan(arguments), pick_device(arguments.device)
    module, _ = load_module(arguments.checkpoint, "colorization")
    module.to(device)
    side = arguments.size or module.cfg.working_side
    read = [path for path in (arguments.checkpoint, arguments.style_image) if path is not None]
    with torch.inference_mode(), ProgressLines(len(works), "colorize") as progress:
        predict = predictor(module, arguments.style_image, side)
        require_classes(module, arguments)
        tally = Tally(progress)
        due = tally.due(works, arguments.overwrite, also_read=read)
        for batch in batches(samples(module, due, side, tally), arguments.batch_size):
            with tally.going_on(*(sample.work for sample in batch)):
                if arguments.top_k:
                    print_classes(module, batch, arguments.top_k)
                finish(module, predict, batch, tally)
    return tally.close()


def predictor(module, style_image, side):
    """The function from lightness to chroma: the model's, bound to the style of another photograph where one is given.

    UserError for a model that has no such thing.
    """
    if style_image is None:
        return module.predict_chroma
    if "style" not in signature(module.predict_chroma).parameters:
        raise UserError(f"--style-image: {type(module).__name__} takes no style; a let_there_be_color checkpoint does")
    try:
        style = network_view(module, read_photo(style_image).image, side)
        predict = partial(module.predict_chroma, style=style)
        predict(style)
    except (UnreadableImage, ValueError) as error:
        raise UserError(f"--style-image: {error}") from error
    return predict


def require_classes(module, arguments):
    """UserError where --top-k asks for more than the model can tell."""
    if arguments.top_k is None:
        return
    if not hasattr(module, "classify"):
        raise UserError(f"--top-k: {type(module).__name__} does not classify; a let_there_be_color checkpoint does")
    try:
        count = module.classify(torch.zeros(1, 1, module.stride, module.stride, device=module.device)).shape[1]
    except ValueError as error:
        raise UserError(f"--top-k: {error}") from error
    if arguments.top_k > count:
        raise UserError(f"--top-k {arguments.top_k}: the model knows {count} classes")


def print_classes(module, batch, count):
    """A line for each photograph: its likeliest classes, by name where the checkpoint has names."""
    shares, classes = module.classify(torch.cat([sample.lightness for sample in batch])).topk(count)
    names = module.class_names or []
    for sample, row in zip(batch, zip(shares.tolist(), classes.tolist(), strict=True), strict=True):
        told = [f"{names[c] if c < len(names) else f'class {c}'} {share:.1%}" for share, c in zip(*row, strict=True)]
        print(printable(f"{sample.work.path}: {', '.join(told)}"), flush=True)


def samples(module, works, side, tally):
    """A Sample for each photograph that can be read."""
    for work in works:
        with tally.going_on(work):
            photo = read_photo(work.path)
            yield Sample(work, photo, network_view(module, photo.image, side))


def network_view(module, image, side):
    """What `lightness` gives of a photograph, uint8 (3,H,W), at the network's size: (1,1,h,w)."""
    lightness = torch.empty(1, 1, *image.shape[-2:], device=module.device)
    for rows, strip in strips(image, module.device):
        lightness[:, :, rows] = module.lightness(strip)
    return module.network_lightness(lightness, side)


def batches(samples, batch_size):
    """Lists of samples of one network size. A list goes out early where many pixels wait."""
    waiting = {}
    for sample in samples:
        group = waiting.setdefault(sample.lightness.shape, [])
        group.append(sample)
        if len(group) == batch_size:
            yield waiting.pop(sample.lightness.shape)
        elif sum(other.pixels for group in waiting.values() for other in group) > HELD_PIXELS:
            yield waiting.pop(max(waiting, key=lambda shape: sum(other.pixels for other in waiting[shape])))
    yield from waiting.values()


def finish(module, predict, batch, tally):
    """Predicts the colour of a batch, and joins and writes one photograph after the other."""
    chroma = predict(torch.cat([sample.lightness for sample in batch])).float()
    for sample, own in zip(batch, chroma, strict=True):
        with tally.going_on(sample.work):
            image = coloured(module, sample.photo.image, own[None])
            sample.work.target.parent.mkdir(parents=True, exist_ok=True)
            write_photo(sample.work.target, image, like=sample.photo)
            tally.wrote(sample.work)


def coloured(module, image, chroma):
    """`image`, uint8 (3,H,W), with its lightness and the colour of `chroma` (1,2,h,w), enlarged. Changes `image`."""
    height, width = image.shape[-2:]
    chroma = F.interpolate(chroma, (chroma.shape[2], width), mode="bilinear", align_corners=False)  # (1,2,h,W)
    for rows, strip in strips(image, module.device):
        colour = enlarged_rows(chroma, height, rows)
        image[:, rows] = finished(module.join(module.lightness(strip), colour, keep_lightness=True))[0]
    return image


def strips(image, device):
    """(rows, RGB in [0,1] (1,3,rows,W)) of uint8 (3,H,W), from top to bottom."""
    height, width = image.shape[-2:]
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        yield rows, image[None, :, rows].to(device).float() / 255


def enlarged_rows(planes, height, rows):
    """Some rows of (B,C,h,W) resized to `height` rows: bilinear, as F.interpolate without align_corners."""
    last = planes.shape[2] - 1
    at = (torch.arange(rows.start, rows.stop, device=planes.device) + 0.5) * (planes.shape[2] / height) - 0.5
    at = at.clamp(0, last)
    above = at.floor().long()
    return torch.lerp(planes[:, :, above], planes[:, :, (above + 1).clamp(max=last)], (at - above)[:, None])
