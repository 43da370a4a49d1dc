"""Image files to tensors: any mode and orientation in, 8-bit RGB out; a file that cannot be read says why.

Pillow decodes, and reduces JPEGs on the way (`draft`, libjpeg's own) where their shorter side is at least twice the one
wanted. Measured on one AMD EPYC core, CPU time from file to a shorter side of 256, Pillow 13.0 and torchvision 0.29:
for 4000 x 3000 Pillow takes 0.46 of torchvision's time; where there is nothing to reduce torchvision takes 0.89
(500 x 375) and 0.75 (256 x 256) of Pillow's, but its decoders are deprecated and about to be removed.

What becomes of a picture that is not 8-bit RGB:
- EXIF orientation is applied; of an animation the first frame is taken.
- Transparency (RGBA, LA, palette or colour key) is composited on white, the colour of paper.
- 16-bit grey is divided by 257; float grey in [0,1] is multiplied by 255, in [0,255] kept, any other stretched from its
  smallest to its largest value, as are 32-bit integers beyond 16 bits. 16-bit RGB keeps its upper byte.
- CMYK and YCCK become RGB by the plain formula R = (1 - C)(1 - K), without the embedded profile. JPEGs of four channels
  are taken as inverted, which is how Adobe's are.
- Headers that claim more than 178,956,970 pixels, Pillow's limit for decompression bombs, are refused, and so are
  truncated files. A JPEG that was cut and then closed with an end marker is the exception: libjpeg fills the rest with
  grey and says so on stderr only.
"""

import os
import secrets
import stat
import struct
import warnings
import zlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError

from datamodules.errors import DataError, UnreadableImage
from datamodules.view import View, show

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
INTEGER_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N")
DEEP_GREY = ("F", *INTEGER_GREY)
# what Pillow's parsers raise on damaged files
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)  # orientations that exchange height and width


def read_image(file, view=None):
    """uint8 (3,H,W) RGB of a path or a binary file object: the whole picture, or the part that the view shows.

    The whole is a view of interleaved pixels (channels last in memory). Raises UnreadableImage.
    """
    return read_sized_image(file, view)[0]


def read_sized_image(file, view=None):
    """(image as `read_image` gives it, (height, width) of the whole picture upright)."""
    with opened(file) as image:
        (width, height), reduced = image.size, 1
        if view is not None:
            reduced = reduce_jpeg(image, min(view.resized(height, width)))
        picture = upright(image)
        if reduced == 1:
            width, height = picture.size
        elif orientation(image) in TURNED:
            width, height = height, width
        size = height, width
        if view is None:
            return planes(rgb_pixels(picture)), size
        if picture.mode == "RGB" and reduced == 1 and view.resized(*size) == size:
            picture, view = cut(picture, view)
            return show(planes(rgb_pixels(picture)), view, *picture.size), size
        return show(planes(rgb_pixels(picture)), view, *size, reduced), size


def cut(picture, view):
    """(the window alone, the view that shows all of it): what is beside it need not become RGB."""
    top, left = view.corner(picture.height, picture.width)
    window = picture.crop((left, top, left + view.crop, top + view.crop))
    return window, View(crop=view.crop, mirror=view.mirror)


def reduce_jpeg(image, shortest):
    """Has a JPEG decoded at a half, a quarter or an eighth, its shorter side no less than `shortest`. -> 1, 2, 4 or 8;
    1 for other formats."""
    width, height = image.size
    if min(width, height) < 2 * shortest:
        return 1
    drafted = image.draft(None, (shortest, shortest))
    return 1 if drafted is None else round(width / drafted[1][2])


def read_label_map(path):
    """uint8 (H,W) of class numbers: grey values, or palette indices whatever their colours. Raises UnreadableImage."""
    with opened(path) as image:
        if image.mode not in ("1", "L", "P", *INTEGER_GREY):
            raise UnreadableImage(path, f"a label map holds one class number per pixel, this image is {image.mode}")
        labels = np.array(upright(image))
    if labels.min() < 0 or labels.max() > 255:
        raise UnreadableImage(path, f"class numbers must be 0 to 255, found {labels.min()} to {labels.max()}")
    return torch.from_numpy(labels.astype(np.uint8))


def read_mask(path, polarity="white"):
    """float32 (1,H,W) of 0 and 1, 1 = hole. `polarity` is the colour of the hole in the file: white or black.

    The darker and the brighter half of the file's range count as black and white; the range is 0 to 1 where no value is
    larger, else 0 to 255, else 16 bits. Transparent pixels are no hole. Raises UnreadableImage.
    """
    if polarity not in ("white", "black"):
        raise ValueError(f"the polarity of a mask is the colour of its hole, 'white' or 'black'; got {polarity!r}")
    with opened(path) as image:
        image = upright(image)
        if image.mode not in DEEP_GREY:
            image = on_background(image, "black" if polarity == "white" else "white").convert("L")
        values = finite(np.array(image))
    top = values.max()
    white = values > (1 if top <= 1 else 255 if top <= 255 else 65535) / 2
    return torch.from_numpy(white if polarity == "white" else ~white).float()[None]


@contextmanager
def opened(file):
    """The first frame of an image. Whatever its bytes do wrong inside the block becomes UnreadableImage.

    file: a path, or a binary file object; messages name it by its `name`, where it has one.
    """
    is_path = isinstance(file, str | os.PathLike)
    path = file if is_path else getattr(file, "name", "image in memory")
    try:
        if is_path and not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableImage(path, "is a folder" if os.path.isdir(path) else "is not a regular file")
        with open(path, "rb") if is_path else nullcontext(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF and of large images, file after file
            try:
                with Image.open(stream, formats=FORMATS) as image:
                    yield image
            except UnidentifiedImageError as error:
                raise UnreadableImage(path, unidentified(stream)) from error
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"too large: {error}") from error
    except FAULTS as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableImage(path, reason or type(error).__name__) from error


def unidentified(stream):
    """Why a file of no known format may be what it is."""
    stream.seek(0)
    head = stream.read(512).lstrip()
    if not head:
        return "empty file"
    if head.startswith(b"<"):
        return "a web page or other text, not an image"
    return f"not an image, or damaged in its first bytes (formats: {', '.join(FORMATS)})"


def orientation(image):
    """EXIF's code of how to turn the pixels, a key of UPRIGHT; any other value means that they are upright."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except FAULTS:  # a damaged EXIF block does not make the pixels unreadable
        return None


def upright(image):
    """The loaded image with its EXIF orientation applied."""
    image.load()  # TIFF applies its orientation here, PNG may have its EXIF block behind the pixels
    method = UPRIGHT.get(orientation(image))
    return image if method is None else image.transpose(method)


def on_background(image, colour):
    """An image of any 8-bit mode without transparency: RGB on a background where it has some, else as it is."""
    if not image.has_transparency_data:
        return image
    background = Image.new("RGBA", image.size, colour)
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def rgb_pixels(image):
    """uint8 (H,W,3) of a loaded image of any mode, transparency on white."""
    if image.mode in DEEP_GREY:
        return np.repeat(eight_bits(image)[..., None], 3, axis=-1)
    if image.mode != "RGB" or image.has_transparency_data:  # convert() would copy an image that is RGB already
        image = on_background(image, "white").convert("RGB")
    return np.array(image)


def eight_bits(image):
    """uint8 (H,W) of a grey image of 16 or 32 bits, by the rule at the top of the file."""
    values = finite(np.array(image))
    low, high = float(values.min()), float(values.max())
    usual = (65535,) if image.mode in INTEGER_GREY else (1, 255)
    if low < 0 or high > usual[-1]:
        values = (values - low) / max(high - low, 1e-12)
    else:
        values = values / next(top for top in usual if high <= top)
    return np.rint(values * 255).astype(np.uint8)


def finite(values):
    """float32 of the values, none of which may be infinite or NaN."""
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("holds values that are not finite")
    return values


def planes(pixels):
    """(3,H,W) view of uint8 (H,W,3)."""
    return torch.from_numpy(pixels).permute(2, 0, 1)


@dataclass
class Photo:
    """A picture with all that is wanted back when a result is written beside it."""

    image: torch.Tensor  # uint8 (3,H,W) RGB, upright, at full resolution; colours under transparency as stored
    alpha: torch.Tensor | None  # uint8 (1,H,W), 255 = opaque; None where the file has no transparency
    icc_profile: bytes | None  # of the pixels as they are here: None where the file's profile is for grey or CMYK
    exif: bytes | None  # orientation 1, without thumbnail, maker notes and what describes the old file's layout
    format: str  # Pillow's name of the file's format, such as JPEG


# what of EXIF's first directory describes the photograph and not the file
KEPT_EXIF = (
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software),
    *(ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit, ExifTags.Base.DateTime),
    *(ExifTags.Base.Artist, ExifTags.Base.HostComputer, ExifTags.Base.Copyright),
)
DROPPED_EXIF = (ExifTags.IFD.MakerNote, ExifTags.IFD.Interop)  # they hold offsets into the old file


def read_photo(path):
    """The Photo of a file, for commands that write a result in its place. Raises UnreadableImage."""
    with opened(path) as image:
        picture, alpha = upright(image), None
        if picture.mode in DEEP_GREY:
            pixels = rgb_pixels(picture)
        elif picture.has_transparency_data:
            rgba = np.array(picture.convert("RGBA"))
            pixels, alpha = np.ascontiguousarray(rgba[..., :3]), torch.from_numpy(rgba[..., 3].copy())[None]
        else:
            pixels = rgb_pixels(picture)
        profile = image.info.get("icc_profile") or b""
        return Photo(
            image=planes(pixels).contiguous(),
            alpha=alpha,
            icc_profile=profile if profile[16:20] == b"RGB " else None,  # ICC.1:2022, 7.2: data colour space
            exif=exif_of(image),
            format=image.format,
        )


def exif_of(image):
    """The EXIF block to write beside upright pixels, or None where there is none or it is damaged."""
    try:
        old, new = image.getexif(), Image.Exif()
        if not old:
            return None
        new.update({tag: old[tag] for tag in KEPT_EXIF if tag in old})
        new[ExifTags.Base.Orientation] = 1
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            entries = {tag: value for tag, value in old.get_ifd(ifd).items() if tag not in DROPPED_EXIF}
            if entries:
                new[ifd] = entries
        return new.tobytes()
    except FAULTS:
        return None


SAVING = {  # suffix -> Pillow's format and options
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),  # not compressed: libtiff, which would do it, cannot write the EXIF directories
    ".tiff": ("TIFF", {}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
}


def write_photo(path, image, like=None):
    """Writes uint8 (3,H,W) RGB in the format of the suffix, under a temporary name that is renamed when complete.

    like: the Photo that the image was made from; its profile, EXIF and transparency go along where the format has a
    place for them (JPEG, BMP and PPM have none for transparency: white behind it). Raises DataError.
    """
    path = os.fspath(path)
    folder, suffix = os.path.dirname(path), os.path.splitext(path)[1].lower()
    if suffix not in SAVING:
        raise DataError(f"{path}: an image can be written as {' '.join(SAVING)}, not as '{suffix}'")
    file_format, options = SAVING[suffix]
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    if like is not None:
        if like.alpha is not None:
            picture.putalpha(Image.fromarray(like.alpha[0].numpy()))
        metadata = {"icc_profile": like.icc_profile, "exif": like.exif}
        options = options | {key: value for key, value in metadata.items() if value is not None}
    if file_format not in ("PNG", "WEBP", "TIFF"):
        picture = on_background(picture, "white")
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.part")
    try:
        picture.save(temporary, file_format, **options)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)
