"""Pages of one file: style, script and pictures inside, so that they open from a disk without a network."""

import base64
import io
import json

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

JPEG_QUALITY = 90
NOT_IN_A_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def script_json(value):
    """JSON that may stand in a <script>: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Markup("".join(NOT_IN_A_SCRIPT.get(letter, letter) for letter in text))


def environment():
    pages = Environment(
        loader=PackageLoader("experiments", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["script_json"] = script_json
    return pages


def render(template, **values):
    """The text of a page. template: a file beside this one, such as 'evaluation.html'; all values are escaped."""
    return environment().get_template(template).render(**values)


def image_uri(image, side=None, lossless=False):
    """uint8 RGB (3,H,W) -> a data URI, JPEG or, lossless, PNG. side: longest side at most, reduced where it is more."""
    assert image.dtype == torch.uint8 and image.shape[0] == 3, (image.dtype, image.shape)
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    if side is not None and max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if lossless:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
