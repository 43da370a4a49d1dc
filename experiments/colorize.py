"""`chromafill colorize`: photographs in, coloured photographs out, at their own resolution and lightness.

Colour is predicted at the network's size, in batches; the full-size join runs in strips, one photograph at a time, so a
photograph of 50 megapixels adds 0.6 GB to the 0.95 GB that a small one takes (measured on a CPU, libraries included).
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from datamodules.decoding import Photo, read_photo, write_photo
from experiments.arguments import Parser
from experiments.checkpoints import load_module
from experiments.photographs import Tally, Work, add_options, pick_device, plan, positive, to_uint8
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
    with torch.inference_mode(), ProgressLines(len(works), "colorize") as progress:
        tally = Tally(progress)
        due = tally.due(works, arguments.overwrite, also_read=[arguments.checkpoint])
        for batch in batches(samples(module, due, side, tally), arguments.batch_size):
            with tally.going_on(*(sample.work for sample in batch)):
                finish(module, batch, tally)
    return tally.close()


def samples(module, works, side, tally):
    """A Sample for each photograph that can be read."""
    for work in works:
        with tally.going_on(work):
            photo = read_photo(work.path)
            lightness = torch.empty(1, 1, *photo.image.shape[-2:], device=module.device)
            for rows, strip in strips(photo.image, module.device):
                lightness[:, :, rows] = module.lightness(strip)
            yield Sample(work, photo, module.network_lightness(lightness, side))


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


def finish(module, batch, tally):
    """Predicts the colour of a batch, and joins and writes one photograph after the other."""
    ab = module.predict_chroma(torch.cat([sample.lightness for sample in batch])).float()
    for sample, own in zip(batch, ab, strict=True):
        with tally.going_on(sample.work):
            image = coloured(module, sample.photo.image, own[None])
            sample.work.target.parent.mkdir(parents=True, exist_ok=True)
            write_photo(sample.work.target, image, like=sample.photo)
            tally.wrote(sample.work)


def coloured(module, image, ab):
    """uint8 (3,H,W) with the lightness of `image`, uint8 (3,H,W), and the colour of `ab` (1,2,h,w), enlarged."""
    height, width = image.shape[-2:]
    ab = F.interpolate(ab, (ab.shape[2], width), mode="bilinear", align_corners=False)  # (1,2,h,W)
    result = torch.empty_like(image)
    for rows, strip in strips(image, module.device):
        colour = enlarged_rows(ab, height, rows)
        result[:, rows] = to_uint8(module.join(module.lightness(strip), colour, keep_lightness=True))[0]
    return result


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
