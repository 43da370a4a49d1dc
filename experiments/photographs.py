"""What `colorize` and `inpaint` share: finding photographs, where their results go, and going on after a bad file."""

import argparse
import glob
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch

from datamodules.decoding import SAVING
from datamodules.errors import UnreadableImage
from experiments.errors import UserError, nearest
from lightning_modules.ops.pieces import require_colours
from lightning_modules.ops.png import to_uint8

SUFFIXES = (*SAVING, ".avif", ".gif", ".jp2", ".mpo")  # what a search takes for photographs
ENDINGS = {"png": ".png", "jpg": ".jpg"}
FORMATS = (*ENDINGS, "keep")


@dataclass(frozen=True)
class Work:
    """One photograph and the file that its result goes to."""

    path: Path
    relative: Path  # of the photograph, to the folder that was searched
    target: Path


def add_options(parser, folder, file_format):
    """The options that both verbs have. `folder` and `file_format` are the verb's defaults of -o and --format."""
    parser.set_defaults(folder=folder, default_format=file_format)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="photograph, folder, or a glob in quotes")
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="what `chromafill train` wrote")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help=f"folder for the results, laid out as that searched (default: {folder}), or the file for one photograph",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help=f"of the results; keep: that of the photograph, png where it cannot be written (default: {file_format})",
    )
    parser.add_argument(
        "--suffix",
        type=part_of_a_name,
        default="",
        help="added to the names of the results, as in --suffix _new; where OUT is the folder searched, files "
        "with such names are earlier results and left out",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist instead of skipping them")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda where there is one"
    )


def positive(text):
    """An argparse type: an integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"an integer of at least 1 is expected, got '{text}'")
    return int(text)


def part_of_a_name(text):
    """An argparse type: what may stand in the name of a file."""
    if Path(f"x{text}").name != f"x{text}":
        raise argparse.ArgumentTypeError(f"a part of a name is expected, without '/'; got '{text}'")
    return text


def pick_device(name):
    """The torch device for --device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no CUDA device here; --device cpu works without")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def plan(arguments):
    """[Work] for the photographs that PATH names, each once. UserError where there are none or OUT does not fit."""
    out = Path(arguments.output or arguments.folder)
    if out.suffix.lower() in SUFFIXES and not os.path.isdir(out):
        return [single(arguments, out)]
    if os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"-o {out} is a file; a folder is expected, or a name ending in {' '.join(SAVING)}")
    found = {}
    for word in arguments.paths:
        for path, relative in search(word, out, arguments.suffix):
            found.setdefault(os.path.abspath(path), Work(path, relative, out / result_name(relative, arguments)))
    return list(found.values())


def single(arguments, out):
    """The Work of one photograph whose result has a name of its own."""
    photographs = [path for word in arguments.paths for path, _ in search(word, out, suffix="")]
    if len(photographs) != 1:
        raise UserError(f"-o {out} is one file for {len(photographs)} photographs; give -o a folder")
    if out.suffix.lower() not in SAVING:
        raise UserError(f"-o {out}: a photograph can be written as {' '.join(SAVING)}")
    if arguments.suffix or arguments.format is not None:
        raise UserError(f"-o {out} is the whole name of the result; leave --suffix and --format out, or give a folder")
    return Work(photographs[0], Path(photographs[0].name), out)


def result_name(relative, arguments):
    """The result's path below OUT."""
    file_format = arguments.format or arguments.default_format
    own = relative.suffix if relative.suffix.lower() in SAVING else ".png"
    return relative.with_name(relative.stem + arguments.suffix + ENDINGS.get(file_format, own))


def search(word, out, suffix):
    """[(path, path relative to the folder searched)] of what one PATH names. UserError where that is nothing.

    A file is taken whatever its suffix; folders and globs give files with one of SUFFIXES, but nothing hidden and none
    of the results of earlier runs.
    """
    if os.path.isfile(word):
        return [(Path(word), Path(Path(word).name))]
    if os.path.isdir(word):
        root, files = Path(word), sorted(below(word))
    elif glob.escape(word) != word:
        fixed = takewhile(lambda part: glob.escape(part) == part, Path(word).parts)
        root, files = Path(*fixed), []
        for match in sorted(glob.glob(word, recursive=True)):
            files += sorted(below(match)) if os.path.isdir(match) else [Path(match)]
    elif os.path.lexists(word):
        raise UserError(f"{word} is neither a file nor a folder")
    else:
        raise UserError(f"no file or folder {word}{neighbour(word)}")
    photographs = [path for path in dict.fromkeys(files) if path.suffix.lower() in SUFFIXES]
    photographs = [path for path in photographs if not is_result(path, root, out, suffix)]
    if not photographs:
        raise UserError(f"no photographs in {word}: looked for {' '.join(SUFFIXES)}; found {listing(files)}")
    return [(path, path.relative_to(root)) for path in photographs]


def below(folder):
    """The files of a folder and of those in it, without hidden ones such as .thumbnails and ._photo.jpg."""

    def refuse(error):
        raise UserError(f"folder {error.filename} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def is_result(path, root, out, suffix):
    """Whether a file found below `root` is the result of an earlier run: below OUT, or with its suffix where OUT is
    `root` itself."""
    folder, root, out = real(path.parent), real(root), real(out)
    if out == root:
        return bool(suffix) and path.stem.endswith(suffix)
    return root in out.parents and out in (folder, *folder.parents)


def real(path):
    """The absolute path without symbolic links. Unlike Path.resolve it bears links in a circle."""
    return Path(os.path.realpath(path))


def neighbour(word):
    """'; nearest: x' for a misspelt name, among what lies beside it."""
    folder = Path(word).parent
    if not os.path.isdir(folder):
        return f"; there is no folder {folder}"
    close = nearest(Path(word).name, os.listdir(folder))
    return close if close.startswith("; nearest") else ""


def listing(files):
    """'3 other files: a.txt, b.pdf, c' for an error, cut after five."""
    if not files:
        return "no files"
    names = ", ".join(path.name for path in files[:5]) + (", ..." if len(files) > 5 else "")
    return f"{len(files)} other file{'s' if len(files) > 1 else ''}: {names}"


def identity(path):
    """What tells whether two paths are one file: (device, inode), or None where there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Tally:
    """Counts what became of the photographs. Each that was not written gets one line on standard error."""

    def __init__(self, progress):
        self.progress = progress
        self.written = self.failed = self.skipped = 0

    def due(self, works, overwrite, also_read=()):
        """The works whose results may be written: over no file that is read, not twice, and over no other file unless
        asked to. also_read: paths of other files that must stay."""
        read = {identity(path) for path in (*also_read, *(work.path for work in works))} - {None}
        taken, due = {}, []
        for work in works:
            place = real(work.target)
            if identity(place) in read:
                reason = f"the result would replace {work.target}, which is read here; give another -o, or --suffix"
                self.fail(work, reason)
            elif place in taken:
                self.fail(work, f"the result of {taken[place]} is {work.target}, too; use --format keep or another -o")
            elif os.path.lexists(work.target) and not overwrite:
                self.skip(work)
            else:
                taken[place] = work.path
                due.append(work)
        return due

    def wrote(self, work):
        self.written += 1
        self.progress.advance(work.path.name)

    def skip(self, work):
        self.skipped += 1
        say(f"{work.path}: skipped, {work.target} exists (--overwrite replaces it)")
        self.progress.advance(work.path.name)

    def fail(self, work, reason):
        self.failed += 1
        say(f"{work.path}: {reason}")
        self.progress.advance(work.path.name)

    @contextmanager
    def going_on(self, *works):
        """What goes wrong with these photographs inside the block fails them and not the run."""
        try:
            yield
        except torch.OutOfMemoryError:
            failure = "the memory of the GPU is not enough for it; --device cpu takes longer but may do"
        except MemoryError:
            failure = "the memory is not enough for a photograph of this size"
        except UnreadableImage as error:
            failure = error.reason if error.path == str(works[0].path) else str(error)
        except OSError as error:
            failure = f"{error.filename}: {error.strerror}"
        except ValueError as error:
            failure = " ".join(str(error).split())
        else:
            return
        for work in works:
            self.fail(work, failure)

    def close(self):
        """Prints the last line. -> exit code."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        print(f"{self.written} written, {self.failed} failed{skipped}")
        return 2 if self.failed else 0


def say(line):
    """A line for the person, apart from the results on standard output."""
    print(line, file=sys.stderr, flush=True)


def finished(image):
    """RGB in [0,1] -> uint8 on the CPU, rounded. ValueError where the model gave inf or NaN."""
    require_colours(image)
    return to_uint8(image).cpu()
