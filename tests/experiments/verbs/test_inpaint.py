from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
import torch
from odd_files import write_odd_files
from PIL import Image
from tiny_checkpoints import scene

from experiments import cli
from experiments.verbs import inpaint
from lightning_modules.tasks import InpaintingModule

HOLE = (slice(20, 40), slice(10, 70))  # rows and columns


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoints.inpainter(tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inpaint.cached_mask.cache_clear()
    return tmp_path


@pytest.fixture
def run(checkpoint):
    """The exit code of `chromafill inpaint`."""
    return lambda *words: cli.main(["inpaint", *map(str, words), "--checkpoint", checkpoint])


def save(path, height=60, width=90, seed=0, **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(height, width, seed)).save(path, **options)


def save_mask(path, height=60, width=90, hole=HOLE, inverted=False):
    """White hole on black; black on white where inverted."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((height, width), np.uint8)
    if hole is not None:
        mask[hole] = 255
    Image.fromarray(255 - mask if inverted else mask).save(path)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def outside(height=60, width=90):
    """bool (H,W), true where HOLE is not."""
    kept = np.ones((height, width), bool)
    kept[HOLE] = False
    return kept


# The picture


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_outside_of_the_hole_every_bit_is_kept(run, name):
    save(name)
    save_mask("m.png")
    assert run(name, "--mask", "m.png") == 0
    before, after = pixels(name), pixels("filled/a.png")
    assert np.array_equal(before[outside()], after[outside()])
    assert (before[HOLE] != after[HOLE]).any(axis=-1).mean() > 0.9


def test_what_lies_in_the_hole_has_no_influence(run):
    save("a.png")
    other = pixels("a.png").copy()
    other[HOLE] = 0
    Image.fromarray(other).save("b.png")
    save_mask("m.png")
    assert run("a.png", "b.png", "--mask", "m.png") == 0
    assert np.array_equal(pixels("filled/a.png"), pixels("filled/b.png"))


def test_blending_hides_the_seam_and_keeps_every_bit_outside_of_the_hole(run):
    save("a.png")
    save_mask("mask.png")
    assert run("a.png", "--mask", "mask.png", "-o", "plain.png") == 0
    assert run("a.png", "--mask", "mask.png", "-o", "blended.png", "--blend") == 0
    photo, plain, blended = pixels("a.png"), pixels("plain.png"), pixels("blended.png")
    assert np.array_equal(blended[outside()], photo[outside()])

    def seam(image):  # mean step from the hole's first row to the row above it
        return np.abs(image[20, 10:70].astype(int) - image[19, 10:70]).mean()

    assert seam(blended) < 0.5 * seam(plain)


@pytest.mark.parametrize(("polarity", "inverted"), [("white", False), ("black", True)])
def test_the_polarity_is_the_colour_of_the_hole(run, polarity, inverted):
    save("a.png")
    save_mask("m.png", inverted=inverted)
    assert run("a.png", "--mask", "m.png", "--mask-polarity", polarity, "-o", "b.png") == 0
    assert np.array_equal(pixels("a.png")[outside()], pixels("b.png")[outside()])
    assert not np.array_equal(pixels("a.png")[HOLE], pixels("b.png")[HOLE])


def test_jpeg_is_said_not_to_keep_the_bits(run, capsys):
    save("a.png")
    save_mask("m.png")
    assert run("a.png", "--mask", "m.png", "--format", "jpg") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first == ".jpg changes pixels around the hole, too; --format png, the default, keeps them bit for bit"
    assert np.abs(pixels("a.png").astype(int) - pixels("filled/a.jpg"))[outside()].mean() < 2


def test_transparency_and_orientation_go_along(run):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn: stored 90 x 60, shown 60 x 90
    save("turned.jpg", 60, 90, exif=exif, quality=95)
    save_mask("m.png", 90, 60, (slice(5, 30), slice(5, 30)))
    assert run("turned.jpg", "--mask", "m.png") == 0
    upright = np.asarray(Image.open("turned.jpg").transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(pixels("filled/turned.png")[40:], upright[40:])

    picture = Image.fromarray(scene(90, 60))
    picture.putalpha(Image.fromarray(np.arange(90, dtype=np.uint8)[:, None].repeat(60, 1)))
    picture.save("clear.png")
    assert run("clear.png", "--mask", "m.png") == 0
    before, after = np.asarray(picture), np.asarray(Image.open("filled/clear.png"))
    assert np.array_equal(after[..., 3], before[..., 3]) and np.array_equal(after[40:], before[40:])


# Photographs and masks


def test_a_folder_of_masks_is_matched_by_name_and_place(run):
    for name in ("a.jpg", "1920/a.png", "1920/b.c.png"):
        save(f"scans/{name}", quality=95)
    save_mask("masks/a.png")
    save_mask("masks/1920/a.jpg", hole=(slice(0, 20), slice(0, 20)))
    save_mask("masks/1920/b.c.tif", hole=(slice(40, 60), slice(0, 20)))
    assert run("scans", "--mask", "masks") == 0

    def changed(name, own):
        return (pixels(f"scans/{own}") != pixels(f"filled/{name}")).any(axis=-1)

    assert changed("1920/a.png", "1920/a.png")[:20, :20].any()
    assert not changed("1920/a.png", "1920/a.png")[20:].any()
    assert not changed("1920/b.c.png", "1920/b.c.png")[:40].any()
    assert not changed("a.png", "a.jpg")[outside()].any()


def test_masks_may_lie_beside_their_photographs(run):
    save("scans/a.jpg")
    save_mask("scans/a.png")
    assert run("scans/*.jpg", "--mask", "scans") == 0
    assert np.array_equal(pixels("scans/a.jpg")[outside()], pixels("filled/a.png")[outside()])


def test_a_mask_that_is_missing_or_ambiguous_is_named(run, capsys):
    for name in ("a", "b", "c"):
        save(f"scans/{name}.png")
    save_mask("masks/a.png")
    save_mask("masks/b.png")
    save_mask("masks/b.jpg")
    Path("masks/c.txt").write_text("no mask")
    assert run("scans", "--mask", "masks") == 2
    printed = capsys.readouterr()
    assert "scans/b.png: one mask masks/b.* is expected, found b.jpg, b.png\n" in printed.err
    assert "scans/c.png: one mask masks/c.* is expected, found none\n" in printed.err
    assert printed.out == "1 written, 2 failed\n"


def test_a_mask_of_another_size_is_refused_or_resized(run, capsys):
    save("a.png")
    save_mask("m.png", 30, 45, (slice(10, 20), slice(5, 35)))
    assert run("a.png", "--mask", "m.png") == 2
    line = "a mask of 90 x 60 is expected (width x height, upright), m.png is 45 x 30; give one of that size, or"
    assert f"a.png: {line} --resize-mask\n" in capsys.readouterr().err
    assert run("a.png", "--mask", "m.png", "--resize-mask") == 0
    assert np.array_equal(pixels("a.png")[outside()], pixels("filled/a.png")[outside()])
    assert not np.array_equal(pixels("a.png")[HOLE], pixels("filled/a.png")[HOLE])


def test_a_mask_without_a_hole_is_refused(run, capsys):
    save("a.png")
    save_mask("m.png", hole=None)
    assert run("a.png", "--mask", "m.png") == 2
    expected = "a.png: mask m.png has no hole: nothing in it is white; --mask-polarity black?\n"
    assert expected in capsys.readouterr().err
    assert not Path("filled").exists()


@pytest.mark.parametrize(
    ("hole", "share"), [((slice(0, 2), slice(0, 2)), "0.074%"), ((slice(0, 58), slice(0, 90)), "96.667%")]
)
def test_an_unusual_share_of_hole_is_remarked_on_and_filled(run, capsys, hole, share):
    save("a.png")
    save_mask("m.png", hole=hole)
    assert run("a.png", "--mask", "m.png") == 0
    line = f"a.png: the hole is {share} of the photograph; is --mask-polarity black meant?\n"
    assert line in capsys.readouterr().err


def test_a_usual_share_of_hole_is_not_remarked_on(run, capsys):
    save("a.png")
    save_mask("m.png")
    assert run("a.png", "--mask", "m.png") == 0
    assert [line for line in capsys.readouterr().err.splitlines() if not line.startswith("inpaint ")] == []


def test_a_mask_that_cannot_be_read_fails_its_photograph(run, capsys):
    save("a.png")
    Path("m.png").write_bytes(b"")
    assert run("a.png", "--mask", "m.png") == 2
    assert "a.png: m.png: empty file\n" in capsys.readouterr().err


# The run


def test_odd_files_are_one_line_each_and_the_rest_is_filled(run, here, capsys):
    (here / "scans").mkdir()
    files = {path: readable for path, readable in write_odd_files(here / "scans").values() if Path(path).is_file()}
    files |= {here / "scans" / name: False for name in ("pipe.jpg", "link to nothing.jpg", "link in a circle.jpg")}
    spots = [*range(12, 20), *range(31, 34)]  # something of them is left at every size, from 1 x 1
    save_mask("m.png", 64, 64, np.ix_(spots, spots))
    assert run("scans", "--mask", "m.png", "--resize-mask", "--format", "keep") == 2
    printed = capsys.readouterr()
    good, bad = sum(files.values()), len(files) - sum(files.values())
    assert printed.out.splitlines()[-1] == f"{good} written, {bad} failed"
    assert len([path for path in (here / "filled").rglob("*") if path.is_file()]) == good
    lines = [line for line in printed.err.splitlines() if line.startswith("scans/") and "polarity" not in line]
    assert len(lines) == bad


def test_neither_photograph_nor_mask_nor_checkpoint_is_replaced(run, checkpoint, capsys):
    save("a.png")
    save_mask("m.png")
    Path("c.png").symlink_to(checkpoint)
    before = [Path(name).read_bytes() for name in ("a.png", "m.png", "c.png")]
    for target in ("a.png", "m.png", "c.png"):
        assert run("a.png", "--mask", "m.png", "-o", target, "--overwrite") == 2
        assert f"a.png: the result would replace {target}" in capsys.readouterr().err
    assert [Path(name).read_bytes() for name in ("a.png", "m.png", "c.png")] == before


def test_a_second_run_skips_and_a_third_overwrites(run, capsys):
    save("a.png")
    save_mask("m.png")
    for words, last in (([], "1 written, 0 failed"), ([], "0 written, 0 failed, 1 skipped"), (["--overwrite"], "1 w")):
        assert run("a.png", "--mask", "m.png", *words) == 0
        assert capsys.readouterr().out.startswith(last)


def test_a_shared_mask_is_read_once(run, monkeypatch):
    for number in range(3):
        save(f"scans/{number}.png", seed=number)
    save_mask("m.png")
    reads = []
    read = inpaint.read_mask
    monkeypatch.setattr(inpaint, "read_mask", lambda *words: reads.append(words) or read(*words))
    assert run("scans", "--mask", "m.png") == 0
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png", "--mask", "n.png", "--checkpoint", "c"], "--mask: no file or folder n.png; nearest: m.png"),
        (["a.png", "--checkpoint", "c"], "the following arguments are required: --mask"),
        (["b.png", "--mask", "m.png", "--checkpoint", "c"], "no file or folder b.png"),
        (["a.png", "--mask", "m.png", "--checkpoint", "c", "--mask-polarity", "red"], "invalid choice: 'red'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, capsys):
    save("a.png")
    save_mask("m.png")
    assert cli.main(["inpaint", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_a_model_of_another_task_is_refused(capsys):
    save("a.png")
    save_mask("m.png")
    tiny_checkpoints.colorizer("colorizer.ckpt")
    assert cli.main(["inpaint", "a.png", "--mask", "m.png", "--checkpoint", "colorizer.ckpt"]) == 2
    assert "this verb needs one for inpainting" in capsys.readouterr().err


def test_a_model_that_changes_more_than_the_hole_is_held_to_it():
    class Careless:
        device, cfg = torch.device("cpu"), None
        pieces = InpaintingModule.pieces

        def complete(self, image, mask):
            return torch.full_like(image, 0.5)

    image = torch.from_numpy(scene(60, 90).copy()).permute(2, 0, 1)
    mask = torch.zeros(1, 60, 90, dtype=torch.bool)
    mask[:, HOLE[0], HOLE[1]] = True
    result = inpaint.filled(Careless(), image.clone(), mask)
    assert torch.equal(result[~mask.expand_as(image)], image[~mask.expand_as(image)])
    assert (result[:, HOLE[0], HOLE[1]] == 128).all()
