"""Writes image files that people really have and programs really trip over, small enough for any test.

from odd_files import write_odd_files
for name, (path, readable) in write_odd_files(tmp_path).items(): ...
"""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
CORNERS = {
    "top left": (220, 40, 40),
    "top right": (40, 200, 60),
    "bottom left": (50, 60, 210),
    "bottom right": (230, 220, 70),
}


def quarters(width=WIDTH, height=HEIGHT):
    """RGB image of four flat colours, CORNERS, which tells every orientation from every other."""
    image = Image.new("RGB", (width, height))
    for name, colour in CORNERS.items():
        vertical, horizontal = name.split()
        box_at = (width // 2 if horizontal == "right" else 0, height // 2 if vertical == "bottom" else 0)
        image.paste(colour, (*box_at, box_at[0] + width // 2, box_at[1] + height // 2))
    return image


def encoded(image, file_format, **options):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def plant(root, *names):
    """Writes small JPEGs under the names. -> root"""
    content = encoded(quarters(), "JPEG")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def png(width, height, bits, colour_type, rows=b""):
    """The bytes of a PNG with any header; `rows` are its scan lines, filter bytes included."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def oriented(orientation, **options):
    """JPEG whose stored pixels and EXIF tag together show `quarters` upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image, exif = quarters(), Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    stored = image.transpose(undo[orientation]) if orientation in undo else image
    return encoded(stored, "JPEG", quality=95, subsampling=0, exif=exif, **options)


def ycck():
    """JPEG of four channels as Adobe writes it: inverted, the ink in YCbCr, marker APP14 with transform 2."""
    ink = 255 - np.asarray(quarters())  # C, M, Y; no black
    luma_chroma = np.asarray(Image.fromarray(ink).convert("YCbCr"))
    # libjpeg turns YCC into the complement of RGB, and Pillow inverts four-channel JPEGs in both directions
    channels = np.dstack([255 - luma_chroma, np.zeros((HEIGHT, WIDTH), np.uint8)])
    data = bytearray(encoded(Image.fromarray(channels, mode="CMYK"), "JPEG", quality=95, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def palette(**options):
    """Image of palette colours; with transparency=0 its left half is transparent."""
    indices = np.repeat([[0] * (WIDTH // 2) + [1] * (WIDTH // 2)], HEIGHT, axis=0).astype(np.uint8)
    image = Image.fromarray(indices, mode="P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    return encoded(image, "PNG", **options)


def with_alpha(mode):
    """Image whose left half is transparent black and whose right half is opaque."""
    image = quarters().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, WIDTH // 2, HEIGHT))
    image.paste(0, (0, 0, WIDTH // 2, HEIGHT))
    image.putalpha(alpha)
    return image


def animation():
    """GIF of a red, then a blue frame."""
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour).quantize(4) for colour in ("red", "blue")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def odd_bytes():
    """{file name: (bytes, whether it can be read)}."""
    photo = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)), "JPEG")
    picture = quarters()
    ramp = np.linspace(0, 65535, WIDTH).astype(np.uint16)[None].repeat(HEIGHT, 0)
    files = {
        "plain.jpg": encoded(picture, "JPEG", quality=95),
        "UPPER CASE.JPG": encoded(picture, "JPEG"),
        "写真 Übung é.jpg": encoded(picture, "JPEG"),
        "png named.jpg": encoded(picture, "PNG"),
        "progressive.jpg": encoded(picture, "JPEG", progressive=True),
        "grey.jpg": encoded(picture.convert("L"), "JPEG"),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG", quality=95, subsampling=0),
        "ycck.jpg": ycck(),
        "trailing rubbish.jpg": photo + b"rubbish" * 50,
        "damaged exif.jpg": encoded(picture, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"),
        **{f"orientation {each}.jpg": oriented(each) for each in range(1, 9)},
        "orientation 0.jpg": oriented(0),
        "grey 16 bit.png": encoded(Image.fromarray(ramp), "PNG"),
        "rgb 16 bit.png": png(2, 1, 16, 2, b"\x00" + bytes([255, 255, 0, 0, 128, 0, 0, 0, 255, 255, 64, 0])),
        "grey alpha 16 bit.png": png(1, 1, 16, 4, b"\x00\x80\x00\xff\xff"),
        "1 bit.png": encoded(picture.convert("1"), "PNG"),
        "rgba.png": encoded(with_alpha("RGB"), "PNG"),
        "grey with alpha.png": encoded(with_alpha("L"), "PNG"),
        "palette.png": palette(),
        "palette with transparency.png": palette(transparency=0),
        "colour key.png": encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        "1x1.png": encoded(picture.resize((1, 1)), "PNG"),
        "1x5000.png": encoded(picture.resize((1, 5000)), "PNG"),
        "5000x1.jpg": encoded(picture.resize((5000, 1)), "JPEG"),
        "animated.gif": animation(),
        "picture.webp": encoded(picture, "WEBP"),
        "picture.bmp": encoded(picture, "BMP"),
        "picture.ppm": encoded(picture, "PPM"),
        "float.tif": encoded(Image.fromarray((ramp / 65535).astype(np.float32)), "TIFF"),
        "grey 16 bit.tif": encoded(Image.fromarray(ramp), "TIFF"),
        "cmyk.tif": encoded(picture.convert("CMYK"), "TIFF"),
    }
    broken = {
        "truncated.jpg": photo[: len(photo) // 2],
        "truncated in the header.jpg": photo[:100],
        "truncated progressive.jpg": files["progressive.jpg"][:-300],
        "truncated.png": encoded(picture.resize((200, 200)), "PNG")[:-60],
        "truncated.gif": animation()[:60],
        "truncated.webp": files["picture.webp"][:-40],
        "truncated.bmp": files["picture.bmp"][:-400],
        "truncated.tif": files["float.tif"][:1000],
        "truncated.ppm": files["picture.ppm"][:-100],
        "zero bytes.jpg": b"",
        "web page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "text.jpg": b"this is not an image at all, whatever its name says",
        "zeros.png": bytes(2000),
        "wrong checksum.png": encoded(picture, "PNG").replace(b"IDAT", b"IDAT\x00", 1),
        "bomb.png": png(50_000, 50_000, 8, 2),
        "not finite.tif": encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
    }
    return {name: (data, True) for name, data in files.items()} | {name: (data, False) for name, data in broken.items()}


def write_odd_files(folder):
    """Writes them all into a folder. -> {file name: (path, whether it can be read)}.

    As root the file without permission is readable, and is called so.
    """
    contents, files = odd_bytes(), {}
    plain = contents["plain.jpg"][0]
    for name, (data, readable) in contents.items():
        (folder / name).write_bytes(data)
        files[name] = (folder / name, readable)
    latin = os.fsencode(folder) + b"/latin-1 \xe9.jpg"  # not UTF-8
    with open(latin, "wb") as file:
        file.write(plain)
    files["latin-1.jpg"] = (os.fsdecode(latin), True)
    (folder / "folder.jpg").mkdir()
    (folder / "link in a circle.jpg").symlink_to("link in a circle.jpg")
    (folder / "link to nothing.jpg").symlink_to("nowhere.jpg")
    (folder / "link.jpg").symlink_to("plain.jpg")
    os.mkfifo(folder / "pipe.jpg")
    forbidden = folder / "no permission.jpg"
    forbidden.write_bytes(plain)
    forbidden.chmod(0)
    for name in ("folder.jpg", "link in a circle.jpg", "link to nothing.jpg", "pipe.jpg", "missing.jpg"):
        files[name] = (folder / name, False)
    files["link.jpg"] = (folder / "link.jpg", True)
    files["no permission.jpg"] = (forbidden, os.access(forbidden, os.R_OK))
    return files
