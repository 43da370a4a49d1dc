"""Image files of some kilobytes that claim thousands of megapixels, or hold hundreds of megabytes of text."""

import struct
import zlib

from experiments.reliability.hostile_seeds import encoded, picture

HUGE = 60_000  # pixels a side: 3.6 gigapixels
SWOLLEN = 200 << 20  # bytes, of which zlib makes 200 kilobytes


def bombs():
    """{name: bytes}"""
    return {
        "PNG": png(HUGE, HUGE),
        "PNG zTXt": png(8, 8, (b"zTXt", b"Comment\0\0" + swollen())),
        "PNG iTXt": png(8, 8, (b"iTXt", b"Comment\0\1\0\0\0" + swollen())),
        "PNG iCCP": png(8, 8, (b"iCCP", b"profile\0\0" + swollen())),
        "JPEG": patched(encoded(picture(), "JPEG"), b"\xff\xc0", 5, ">HH", HUGE, HUGE),
        "GIF": patched(encoded(picture("P"), "GIF"), b"GIF8", 6, "<HH", HUGE, HUGE),
        "BMP": patched(encoded(picture(), "BMP"), b"BM", 18, "<ii", HUGE, HUGE),
        "PPM": b"P6 %d %d 255\n" % (HUGE, HUGE),
        "TIFF": tiff(),
        "WEBP": patched(encoded(picture(), "WEBP", lossless=True), b"VP8L", 9, "<I", (1 << 28) - 1),  # 16384 x 16384
        "JPEG2000": jpeg2000(),
        "AVIF": patched(encoded(picture(), "AVIF"), b"ispe", 8, ">II", HUGE, HUGE),
    }


def swollen():
    return zlib.compress(bytes(SWOLLEN), 9)


def patched(data, mark, offset, form, *values):
    """`data` with numbers written so many bytes behind the first `mark`."""
    data = bytearray(data)
    struct.pack_into(form, data, data.index(mark) + offset, *values)
    return bytes(data)


def png(width, height, *more):
    """Grey, without pixels; `more`: (name, content) of chunks before them."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunk(*each) for each in more) + pixels + chunk(b"IEND", b"")


def tiff():
    """ImageWidth and ImageLength, tags 256 and 257, as LONGs in the directory that byte 4 points to."""
    data = bytearray(encoded(picture(), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):
            struct.pack_into("<HII", data, entry + 2, 4, 1, HUGE)
    return bytes(data)


def jpeg2000():
    """Both in the ihdr box and in the SIZ marker."""
    data = patched(encoded(picture(), "JPEG2000"), b"ihdr", 4, ">II", HUGE, HUGE)
    return patched(data, b"\xff\x51", 6, ">II", HUGE, HUGE)
