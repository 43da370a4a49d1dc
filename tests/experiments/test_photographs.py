import argparse
import os
from pathlib import Path

import pytest
import torch

from datamodules.errors import DataError, UnreadableImage
from experiments import photographs
from experiments.arguments import Parser
from experiments.errors import UserError
from experiments.photographs import Tally, Work, add_options, finished, pick_device, plan, search


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"photograph")


def options(*words):
    parser = Parser("colorize", "", "")
    add_options(parser, folder="colored", file_format="keep")
    return parser.parse_args([*words, "--checkpoint", "c.ckpt"])


def targets(*words):
    """{photograph: result} as posix paths."""
    return {work.path.as_posix(): work.target.as_posix() for work in plan(options(*words))}


# Finding photographs


def test_a_folder_is_searched_to_its_depth_and_its_layout_kept():
    touch("scans/a.png", "scans/1920/b c.JPG", "scans/1920/notes.txt", "scans/1920/é.tif")
    expected = {"scans/a.png": "colored/a.png", "scans/1920/b c.JPG": "colored/1920/b c.JPG"}
    assert targets("scans/") == expected | {"scans/1920/é.tif": "colored/1920/é.tif"}


def test_hidden_files_and_folders_are_left_out():
    touch("scans/a.png", "scans/._a.png", "scans/.thumbnails/a.png")
    assert list(targets("scans")) == ["scans/a.png"]


def test_a_glob_keeps_the_layout_below_its_fixed_part():
    touch("scans/1920/a.png", "scans/1930/a.png", "scans/1930/b.txt", "scans/a.png")
    assert targets("scans/19*/*") == {
        "scans/1920/a.png": "colored/1920/a.png",
        "scans/1930/a.png": "colored/1930/a.png",
    }
    assert targets("scans/19*") == targets("scans/19*/*")
    assert list(targets("scans/**/a.png")) == ["scans/1920/a.png", "scans/1930/a.png", "scans/a.png"]
    assert list(targets("s*/a.png")) == ["scans/a.png"]


def test_a_file_is_taken_by_its_name_whatever_its_suffix_and_brackets():
    touch("photo [1].png", "scan.dat")
    assert targets("photo [1].png", "scan.dat") == {
        "photo [1].png": "colored/photo [1].png",
        "scan.dat": "colored/scan.png",
    }


def test_a_photograph_named_twice_is_done_once(here):
    touch("scans/a.png")
    assert targets("scans", "scans/a.png", str(here / "scans" / "a.png"), "scans/*.png", "scans/../scans/a.png") == {
        "scans/a.png": "colored/a.png"
    }


def test_results_below_the_searched_folder_are_no_photographs():
    touch("scans/a.png", "scans/colored/a.png", "scans/colored/b/a.png", "scans/old/a.png")
    assert list(targets("scans", "-o", "scans/colored")) == ["scans/a.png", "scans/old/a.png"]
    assert list(targets("scans/colored", "-o", "scans")) == ["scans/colored/a.png", "scans/colored/b/a.png"]


def test_results_in_the_searched_folder_are_known_by_the_suffix():
    touch("scans/a.png", "scans/a_new.png")
    assert targets("scans", "-o", "scans", "--suffix", "_new") == {"scans/a.png": "scans/a_new.png"}
    assert len(targets("scans", "-o", "elsewhere", "--suffix", "_new")) == 2


def test_a_link_in_a_circle_is_left_to_the_reader():
    touch("scans/a.png")
    Path("scans/b.png").symlink_to("b.png")
    assert list(targets("scans")) == ["scans/a.png", "scans/b.png"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("scams", "no file or folder scams; nearest: scans"),
        ("scans/b.pmg", "no file or folder scans/b.pmg; nearest: b.png"),
        ("nowhere/b.png", "no file or folder nowhere/b.png; there is no folder nowhere"),
        ("zzzzzzz", "no file or folder zzzzzzz$"),
        ("texts", r"no photographs in texts: looked for \.jpg .*; found 6 other files: 1.txt, .*, 5.txt, \.\.\.$"),
        ("empty", "no photographs in empty: .*; found no files"),
        ("scans/*.tif", r"no photographs in scans/\*.tif: .*; found no files"),
        ("pipe", "pipe is neither a file nor a folder"),
    ],
)
def test_what_names_no_photograph_is_said_in_one_line(word, message):
    touch("scans/b.png", *(f"texts/{number}.txt" for number in range(1, 7)))
    Path("empty").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(UserError, match=message) as error:
        search(word, Path("colored"), "")
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_read_is_named(monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", "scans/locked"))

    Path("scans").mkdir()
    monkeypatch.setattr(photographs.os, "walk", walk)
    with pytest.raises(UserError, match="folder scans/locked cannot be read: Permission denied"):
        search("scans", Path("colored"), "")


# Where results go


def test_the_format_is_kept_or_png_where_it_cannot_be_written():
    touch("a.gif", "b.webp", "c.JPEG")
    assert list(targets("a.gif", "b.webp", "c.JPEG").values()) == ["colored/a.png", "colored/b.webp", "colored/c.JPEG"]
    assert list(targets("a.gif", "c.JPEG", "--format", "png").values()) == ["colored/a.png", "colored/c.png"]
    assert list(targets("a.gif", "--format", "jpg", "--suffix", " in colour").values()) == ["colored/a in colour.jpg"]


def test_one_photograph_may_go_to_one_file():
    touch("a.png")
    assert targets("a.png", "-o", "elsewhere/b.jpg") == {"a.png": "elsewhere/b.jpg"}
    assert targets("*.png", "-o", "elsewhere/b.jpg") == {"a.png": "elsewhere/b.jpg"}


def test_a_folder_may_have_the_name_of_a_file():
    touch("a.png")
    Path("b.png").mkdir()
    assert targets("a.png", "-o", "b.png") == {"a.png": "b.png/a.png"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "b.png", "-o", "c.png"], "-o c.png is one file for 2 photographs; give -o a folder"),
        (["scans", "-o", "c.png"], "-o c.png is one file for 2 photographs; give -o a folder"),
        (["a.pgn", "-o", "c.png"], "no file or folder a.pgn; nearest: a.png"),
        (["a.png", "-o", "c.gif"], r"-o c.gif: a photograph can be written as \.jpg"),
        (["a.png", "-o", "c.png", "--suffix", "x"], "-o c.png is the whole name"),
        (["a.png", "-o", "c.png", "--format", "jpg"], "-o c.png is the whole name"),
        (["a.png", "-o", "taken"], "-o taken is a file; a folder is expected"),
        (["a.png", "--suffix", "x/y"], "a part of a name is expected, without '/'; got 'x/y'"),
        (["a.png", "--format", "gif"], "invalid choice: 'gif'"),
    ],
)
def test_an_output_that_does_not_fit_is_said_in_one_line(words, message):
    touch("a.png", "b.png", "scans/a.png", "scans/b.png", "taken")
    with pytest.raises(UserError, match=message):
        plan(options(*words))


# What becomes of each


class Silent:
    """A progress bar that nobody sees."""

    def __init__(self):
        self.notes = []

    def advance(self, note):
        self.notes.append(note)


def due(*pairs, overwrite=False, also_read=()):
    """(results that are due, tally) of (photograph, result) pairs."""
    works = [Work(Path(path), Path(path), Path(target)) for path, target in pairs]
    tally = Tally(Silent())
    return [str(work.target) for work in tally.due(works, overwrite, also_read)], tally


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_result_replaces_a_file_that_is_read(overwrite, capsys):
    touch("a.png", "b.png", "mask.png")
    Path("link.png").symlink_to("b.png")
    Path("hard.png").hardlink_to("a.png")
    pairs = [("a.png", "a.png"), ("a.png", "link.png"), ("b.png", "hard.png"), ("b.png", "x/../mask.png")]
    Path("x").mkdir()
    found, tally = due(*pairs, overwrite=overwrite, also_read=["mask.png", "missing"])
    assert found == [] and tally.failed == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a.png: the result would replace a.png, which is read here; give another -o, or --suffix"
    assert len(lines) == 4


def test_two_photographs_do_not_share_a_result(capsys):
    touch("a.png", "a.jpg")
    found, tally = due(("a.png", "colored/a.png"), ("a.jpg", "colored/a.png"))
    assert found == ["colored/a.png"] and tally.failed == 1
    line = "a.jpg: the result of a.png is colored/a.png, too; use --format keep or another -o\n"
    assert capsys.readouterr().err == line


def test_what_exists_is_skipped_or_replaced_when_asked(capsys):
    touch("a.png", "colored/a.png")
    found, tally = due(("a.png", "colored/a.png"))
    assert found == [] and (tally.failed, tally.skipped) == (0, 1)
    assert capsys.readouterr().err == "a.png: skipped, colored/a.png exists (--overwrite replaces it)\n"
    assert due(("a.png", "colored/a.png"), overwrite=True)[0] == ["colored/a.png"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnreadableImage("a.png", "empty file"), "a.png: empty file"),
        (UnreadableImage("mask.png", "empty file"), "a.png: mask.png: empty file"),
        (DataError("colored/a.png: cannot be written"), "a.png: colored/a.png: cannot be written"),
        (ValueError("two\n  lines"), "a.png: two lines"),
        (NotADirectoryError(20, "Not a directory", "b/c"), "a.png: b/c: Not a directory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "a.png: the memory of the GPU is not enough"),
        (MemoryError(), "a.png: the memory is not enough"),
    ],
)
def test_what_goes_wrong_with_a_photograph_is_one_line_and_the_run_goes_on(error, line, capsys):
    tally = Tally(Silent())
    with tally.going_on(Work(Path("a.png"), Path("a.png"), Path("b.png"))):
        raise error
    printed = capsys.readouterr().err
    assert printed.startswith(line) and printed.count("\n") == 1
    assert tally.failed == 1


def test_a_defect_is_not_taken_for_a_bad_photograph():
    with pytest.raises(KeyError), Tally(Silent()).going_on():
        raise KeyError("defect")


def test_every_photograph_advances_the_progress_once_and_the_last_line_counts(capsys):
    tally = Tally(Silent())
    works = [Work(Path(name), Path(name), Path("b") / name) for name in ("1.png", "2.png", "3.png")]
    tally.wrote(works[0])
    tally.skip(works[1])
    assert tally.close() == 0
    tally.fail(works[2], "empty file")
    assert tally.close() == 2
    assert tally.progress.notes == ["1.png", "2.png", "3.png"]
    assert capsys.readouterr().out == "1 written, 0 failed, 1 skipped\n1 written, 1 failed, 1 skipped\n"


# Options and pixels


def test_the_device_is_picked_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="--device cuda: PyTorch finds no CUDA device here; --device cpu"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_counts_are_integers_of_at_least_one(text):
    assert photographs.positive("12") == 12
    with pytest.raises(argparse.ArgumentTypeError, match=f"at least 1 is expected, got '{text}'"):
        photographs.positive(text)


def test_pixels_are_rounded_and_never_wrap():
    image = torch.tensor([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.1])
    assert finished(image).tolist() == [0, 0, 0, 1, 255, 255]


def test_a_result_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="values that are not finite; is the checkpoint sound"):
        finished(torch.tensor([0.5, float("nan")]))
