from pathlib import Path

import numpy as np
import pytest
import tiny_checkpoints
import torch
from odd_files import write_odd_files
from PIL import Image, ImageCms
from tiny_checkpoints import scene
from torch.nn import functional as F

from experiments import cli
from experiments.checkpoints import load_module
from experiments.verbs import colorize
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.colorization.colorful import Colorful

EIGHT_BITS = 0.5  # units of L: what rounding of RGB to 8 bits can do to it


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoints.colorizer(tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(checkpoint):
    """The exit code of `chromafill colorize`."""
    return lambda *words: cli.main(["colorize", *map(str, words), "--checkpoint", checkpoint])


def lab(path):
    """Lab (3,H,W) of an image file."""
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
    return rgb_to_lab(pixels[None].float() / 255)[0]


def save(path, height=60, width=90, seed=0, **options):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene(height, width, seed)).save(path, **options)


# The picture


@pytest.mark.parametrize(("height", "width"), [(60, 90), (97, 33), (20, 21), (7, 200)])
def test_resolution_and_lightness_are_kept(run, height, width):
    save("a.png", height, width)
    assert run("a.png") == 0
    before, after = lab("a.png"), lab("colored/a.png")
    assert after.shape == before.shape
    assert (after[0] - before[0]).abs().max() < EIGHT_BITS
    assert after[1:].std() > 3  # it is coloured


def test_black_and_white_stay_black_and_white(run):
    pixels = np.repeat(np.array([[0] * 40 + [255] * 40], np.uint8), 60, axis=0)
    Image.fromarray(pixels).save("a.png")
    assert run("a.png") == 0
    assert np.abs(np.asarray(Image.open("colored/a.png")).astype(int) - pixels[..., None]).max() <= 2


def test_the_result_is_what_the_module_says_where_srgb_holds_it(run, checkpoint, monkeypatch):
    monkeypatch.setattr(colorize, "STRIP_PIXELS", 90 * 7)  # strips of 7 rows, the last of 4
    save("a.png")
    assert run("a.png") == 0
    module, _ = load_module(checkpoint)
    image = torch.from_numpy(scene(60, 90).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = module.colorize(image, side=32)[0]
    inside = ((expected > 0.01) & (expected < 0.99)).all(dim=0)
    found = torch.from_numpy(np.array(Image.open("colored/a.png"))).permute(2, 0, 1)
    assert inside.float().mean() > 0.2
    assert (found - expected * 255)[:, inside].abs().max() < 1


def test_a_mirrored_grey_photograph_gives_another_colour_but_the_same_lightness(run):
    Image.fromarray(scene(60, 90)).convert("L").save("a.png")
    assert run("a.png") == 0
    colour = np.asarray(Image.open("colored/a.png"))
    assert colour.shape == (60, 90, 3)
    grey = np.asarray(Image.open("colored/a.png").convert("L")).astype(float)
    own = np.asarray(Image.open("a.png")).astype(float)
    for other in (own[:, ::-1], own[::-1]):
        assert np.corrcoef(grey.ravel(), own.ravel())[0, 1] > np.corrcoef(grey.ravel(), other.ravel())[0, 1] + 0.3


def test_batches_give_what_single_photographs_give(run):
    for number, size in enumerate([(60, 90), (60, 90), (90, 60), (61, 91), (60, 90)]):
        save(f"scans/{number}.png", *size, seed=number)
    assert run("scans", "-o", "one", "--batch-size", 1) == 0
    assert run("scans", "-o", "many", "--batch-size", 3) == 0
    for number in range(5):
        one, many = (np.asarray(Image.open(f"{out}/{number}.png")).astype(int) for out in ("one", "many"))
        assert np.abs(one - many).max() <= 1


def test_batches_go_out_early_where_many_pixels_wait(monkeypatch):
    class Sample:
        def __init__(self, name, side, pixels):
            self.name, self.pixels, self.lightness = name, pixels, torch.empty(1, 1, side, side)

    monkeypatch.setattr(colorize, "HELD_PIXELS", 100)
    samples = [Sample("a", 8, 60), Sample("b", 16, 30), Sample("c", 16, 20), Sample("d", 16, 5), Sample("e", 16, 5)]
    found = [[sample.name for sample in batch] for batch in colorize.batches(samples, batch_size=3)]
    assert found == [["a"], ["b", "c", "d"], ["e"]]


def test_a_large_photograph_is_never_whole_in_lab(run, monkeypatch):
    sizes = []

    def counted(method):
        return lambda self, plane, *rest, **options: (
            sizes.append(plane[0, 0].numel()) or method(self, plane, *rest, **options)
        )

    for name in ("lightness", "join"):
        monkeypatch.setattr(Colorful, name, counted(getattr(Colorful, name)))
    monkeypatch.setattr(colorize, "STRIP_PIXELS", 1000)
    save("a.png", 120, 90)
    assert run("a.png") == 0
    assert max(sizes) <= 1000 and sum(sizes) == 3 * 120 * 90


def test_the_size_that_the_network_sees_changes_the_colour(run):
    save("a.png")
    assert run("a.png", "-o", "b.png") == run("a.png", "-o", "c.png", "--size", 64) == 0
    assert run("a.png", "-o", "d.png", "--size", 32) == 0
    b, c, d = (np.asarray(Image.open(name)).astype(int) for name in ("b.png", "c.png", "d.png"))
    assert np.abs(b - c).max() > 10
    assert np.array_equal(b, d)  # 32 is the model's own


@pytest.mark.parametrize(("height", "low"), [(60, 13), (40, 64)])
def test_rows_are_enlarged_as_by_interpolate(height, low):
    planes = torch.rand(1, 2, low, 9, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(planes, (height, 9), mode="bilinear", align_corners=False)
    for rows in (slice(0, height), slice(0, 7), slice(7, 31), slice(height - 1, height)):
        torch.testing.assert_close(colorize.enlarged_rows(planes, height, rows), expected[:, :, rows])


# What goes along


def test_orientation_is_applied_and_not_written_again(run):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"  # a quarter turn; the maker of the camera
    save("a.jpg", exif=exif, quality=95)
    assert run("a.jpg", "--format", "png") == 0
    after = Image.open("colored/a.png")
    assert after.size == (60, 90)
    assert after.getexif().get(0x0112, 1) == 1 and after.getexif()[0x010F] == "Maker"
    upright = Image.open("a.jpg").transpose(Image.Transpose.ROTATE_270).convert("RGB")
    upright.save("upright.png")
    assert (lab("upright.png")[0] - lab("colored/a.png")[0]).abs().max() < EIGHT_BITS


def test_the_colour_profile_goes_along(run):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save("a.png", icc_profile=profile)
    assert run("a.png") == 0
    assert Image.open("colored/a.png").info["icc_profile"] == profile


def test_transparency_goes_along(run):
    picture = Image.fromarray(scene(60, 90))
    alpha = np.arange(90, dtype=np.uint8)[None].repeat(60, 0)
    picture.putalpha(Image.fromarray(alpha))
    picture.save("a.png")
    assert run("a.png") == 0
    assert np.array_equal(np.asarray(Image.open("colored/a.png"))[..., 3], alpha)


def test_a_cmyk_photograph_becomes_rgb(run):
    Image.fromarray(scene(60, 90)).convert("CMYK").save("a.jpg", quality=95)
    assert run("a.jpg") == 0
    assert Image.open("colored/a.jpg").mode == "RGB"
    assert (lab("colored/a.jpg")[0] - lab("a.jpg")[0]).abs().mean() < 1


# The run


def test_odd_files_are_one_line_each_and_the_rest_is_coloured(run, here, capsys):
    (here / "scans").mkdir()
    files = {path: readable for path, readable in write_odd_files(here / "scans").values() if Path(path).is_file()}
    files |= {here / "scans" / name: False for name in ("pipe.jpg", "link to nothing.jpg", "link in a circle.jpg")}
    assert run("scans") == 2
    printed = capsys.readouterr()
    good, bad = sum(files.values()), len(files) - sum(files.values())
    assert printed.out.splitlines()[-1] == f"{good} written, {bad} failed"
    written = [path for path in (here / "colored").rglob("*") if path.is_file()]
    assert len(written) == good
    lines = [line for line in printed.err.splitlines() if not line.startswith("colorize ")]
    assert len(lines) == bad and all(line.startswith("scans/") and ": " in line for line in lines)
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1)])
def test_a_strip_of_pixels_is_coloured(run, height, width):
    save("a.png", height, width)
    assert run("a.png") == 0
    assert Image.open("colored/a.png").size == (width, height)


def test_a_second_run_skips_and_a_third_overwrites(run, capsys):
    save("scans/a.png")
    assert run("scans") == 0
    first = Path("colored/a.png").stat()
    assert run("scans") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 written, 0 failed, 1 skipped"
    assert Path("colored/a.png").stat().st_ino == first.st_ino
    assert run("scans", "--overwrite") == 0
    assert capsys.readouterr().out == "1 written, 0 failed\n"


def test_the_photograph_is_never_replaced(run, here, capsys):
    save("a.png")
    before = Path("a.png").read_bytes()
    assert run("a.png", "-o", here, "--overwrite") == 2
    assert run("a.png", "-o", "a.png", "--overwrite") == 2
    assert Path("a.png").read_bytes() == before
    assert "would replace" in capsys.readouterr().err


def test_a_result_that_cannot_be_written_leaves_nothing_half_written(run, monkeypatch, capsys):
    def fail(self, path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    save("a.png")
    monkeypatch.setattr(Image.Image, "save", fail)
    assert run("a.png") == 2
    assert "a.png: colored/a.png: cannot be written: No space left on device\n" in capsys.readouterr().err
    assert list(Path("colored").iterdir()) == []


def test_a_model_whose_numbers_are_broken_writes_nothing(run, checkpoint, tmp_path, capsys):
    module, content = load_module(checkpoint)
    content["state_dict"]["network.model8.6.bias"].fill_(float("nan"))
    torch.save(content, "broken.ckpt")
    save("a.png")
    assert cli.main(["colorize", "a.png", "--checkpoint", "broken.ckpt"]) == 2
    assert "a.png: the model's result holds values that are not finite" in capsys.readouterr().err
    assert not Path("colored").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["b.png", "--checkpoint", "c"], "no file or folder b.png; nearest: a.png"),
        (["a.png"], "the following arguments are required: --checkpoint"),
        (["a.png", "--checkpoint", "no.ckpt"], "no checkpoint no.ckpt"),
        (["a.png", "--checkpoint", "a.png"], "a.png is not a readable checkpoint"),
        (["a.png", "--checkpoint", "c", "--size", "0"], "an integer of at least 1 is expected, got '0'"),
        (["a.png", "--checkpoint", "c", "--sise", "4"], "no option '--sise'; nearest: --size"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message, capsys):
    save("a.png")
    assert cli.main(["colorize", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_a_model_of_another_task_is_refused(here, capsys):
    save("a.png")
    tiny_checkpoints.inpainter("inpainter.ckpt")
    assert cli.main(["colorize", "a.png", "--checkpoint", "inpainter.ckpt"]) == 2
    assert "this verb needs one for colorization" in capsys.readouterr().err
