"""`chromafill convert` from the command line. What each format means is tested with its paper."""

from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_files import layer, network
from PIL import Image
from tiny_checkpoints import scene
from torch7_files import Module, graph, sequential, write_t7
from torch7_files import layer as lua_layer

from experiments import cli
from experiments.checkpoints import load_module
from experiments.config_store import papers
from experiments.verbs import convert
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.colorization.let_there_be_color import LetThereBeColor
from lightning_modules.inpainting.context_encoder import Generator
from lightning_modules.inpainting.glcic import CompletionNet
from lightning_modules.pretrained.published import Published


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(60, 90)).save("photo.png")
    mask = np.zeros((60, 90), np.uint8)
    mask[20:40, 10:40] = 255
    Image.fromarray(mask).save("mask.png")
    return tmp_path


@pytest.fixture
def run():
    """The exit code of `chromafill convert`."""
    return lambda *words: cli.main(["convert", *map(str, words)])


def release(path, width=2):
    """A file of the PyTorch release of Zhang 2016, at another width."""
    torch.manual_seed(0)
    torch.save(Colorful(width=width).network.state_dict(), path)


def centre_net(path):
    torch.manual_seed(0)
    net = Generator(width=4, bottleneck=6, bias=True)
    write_t7(path, sequential([sequential(map(lua_layer, net.encoder)), *map(lua_layer, net.decoder)]))


def colour_graph(path):
    """A file like those of Iizuka 2016, at an eighth of the width and with a small global view."""
    torch.manual_seed(0)
    net = LetThereBeColor(width=8, global_side=32, alpha=0.0, batch_norm=False).network
    parts = [sequential(map(lua_layer, part)) for part in (net.low, net.mid, net.global_, [net.fusion, *net.color])]
    nodes = [(parts[0], []), (parts[1], [0]), (parts[2], [0]), (Module("nn.JoinTable"), [2, 1]), (parts[3], [3])]
    write_t7(path, {"mean": 0.5, "model": graph(nodes)})


def otenim(path):
    """A file of otenim's completion network at an eighth of the width."""
    torch.manual_seed(0)
    layers = CompletionNet(width=8, norm_first=False).layers
    state = {}
    for number in range(17):
        name = f"{'de' if number in (12, 14) else ''}conv{number + 1}"
        parts = {name: layers[3 * number]} | ({f"bn{number + 1}": layers[3 * number + 2]} if number < 16 else {})
        state |= {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    torch.save(state, path)


def encoder(path):
    """A file of Pathak's encoder."""
    shapes = {1: (8, 3, 11, 11), 2: (22, 4, 5, 5), 3: (32, 22, 3, 3), 4: (32, 16, 3, 3), 5: (22, 16, 3, 3)}
    layers = [
        layer(f"conv{n}", "Convolution", [torch.rand(shape), torch.rand(shape[0])]) for n, shape in shapes.items()
    ]
    path.write_bytes(network(*layers))


def test_a_colorizer_is_converted_used_and_described(run, capsys):
    release("release.pth")
    assert run("colorful", "release.pth", "-o", "out.ckpt") == 0
    printed = capsys.readouterr().out
    assert "format      eccv16: the authors' PyTorch release" in printed and "read        82 tensors" in printed
    assert "licence     BSD-2-Clause" in printed
    command = printed.splitlines()[-1].removeprefix("try it      chromafill ")
    assert command == "colorize PHOTO --checkpoint out.ckpt -o results"
    assert cli.main(command.replace("PHOTO", "photo.png").split()) == 0
    assert Image.open("results/photo.png").size == (90, 60)
    assert [path.name for path in Path().iterdir() if "tmp" in path.name] == []


def test_an_inpainter_is_converted_and_used(run, here, capsys):
    centre_net(here / "paris_inpaintCenter.t7")
    assert run("context_encoder", "paris_inpaintCenter.t7", "-o", "out.ckpt") == 0
    printed = capsys.readouterr().out
    assert "not in it   discriminator: a discriminator with random weights" in printed
    assert cli.main("inpaint photo.png --mask mask.png --checkpoint out.ckpt -o results".split()) == 0
    before, after = (np.asarray(Image.open(name).convert("RGB")) for name in ("photo.png", "results/photo.png"))
    assert np.array_equal(before[:20], after[:20]) and (before[20:40, 10:40] != after[20:40, 10:40]).any()


def test_a_graph_is_converted_and_used(run, here):
    colour_graph(here / "colornet.t7")
    assert run("let_there_be_color", "colornet.t7", "-o", "out.ckpt") == 0
    assert cli.main("colorize photo.png --checkpoint out.ckpt -o results".split()) == 0
    assert Image.open("results/photo.png").size == (90, 60)


def test_a_mean_that_is_beside_the_file_is_given_as_an_option(run, capsys):
    otenim("model_cn")
    assert run("glcic", "model_cn", "-o", "out.ckpt") == 2
    assert "give --mean R G B" in capsys.readouterr().err
    mean = ["--mean", "0.43", "0.38", "0.36"]
    assert run("glcic", "model_cn", "-o", "out.ckpt", *mean) == 0
    assert cli.main("inpaint photo.png --mask mask.png --checkpoint out.ckpt -o results".split()) == 0
    release("release.pth")
    assert run("colorful", "release.pth", "-o", "other.ckpt", *mean) == 2
    assert "nearest is eccv16, of which the file has beyond it mean" in capsys.readouterr().err
    write_t7(Path("a.t7"), {"mean": 0.5})
    assert run("glcic", "a.t7", "-o", "other.ckpt", *mean) == 2
    assert "--mean: a.t7 has a mean of its own" in capsys.readouterr().err


def test_a_mean_takes_the_place_of_the_one_of_places(run, capsys):
    torch.manual_seed(0)
    torch.save(CompletionNet(width=8).layers.state_dict(), "numbers.pth")
    assert run("glcic", "numbers.pth", "-o", "places.ckpt") == 0
    assert "not in it   mean: the mean colour of Places2" in capsys.readouterr().out
    assert run("glcic", "numbers.pth", "-o", "out.ckpt", "--mean", "0.43", "0.38", "0.36") == 0
    assert "not in it" not in capsys.readouterr().out
    module, _ = load_module("out.ckpt")
    assert module.mean.tolist() == module.cfg.mean == pytest.approx([0.43, 0.38, 0.36])


@pytest.mark.parametrize("mean", [["110", "97", "92"], ["0.4", "-0.1", "0.4"], ["nan", "0.4", "0.4"]])
def test_a_mean_beyond_0_to_1_is_refused(run, capsys, mean):
    otenim("model_cn")
    assert run("glcic", "model_cn", "-o", "out.ckpt", "--mean", *mean) == 2
    assert "--mean must be red, green and blue from 0 to 1; got" in capsys.readouterr().err


def test_a_converted_checkpoint_is_evaluated_on_data_that_is_named(run, capsys):
    release("release.pth")
    run("colorful", "release.pth", "-o", "out.ckpt")
    assert cli.main(["evaluate", "checkpoint=out.ckpt"]) == 2
    assert "out.ckpt was trained on no data; give data=..." in capsys.readouterr().err
    words = ["checkpoint=out.ckpt", "data=synthetic", "data.test_count=4", "data.workers=0", "output=scores"]
    assert cli.main(["evaluate", *words, "data.batch_size=2", "trainer.accelerator=cpu"]) == 0
    assert "colorful_eccv16" in Path("scores/scores.json").read_text()


def test_a_part_makes_a_training_start_and_nothing_else(run, here, capsys):
    encoder(here / "ce_features.caffemodel")
    assert run("context_encoder_features", "ce_features.caffemodel", "-o", "part.ckpt") == 0
    printed = capsys.readouterr().out
    assert printed.endswith(
        "try it      chromafill train model=context_encoder_features model.init_from=part.ckpt ...\n"
    )
    assert cli.main("inpaint photo.png --mask mask.png --checkpoint part.ckpt".split()) == 2
    assert "part.ckpt holds the encoder alone, which cannot inpaint" in capsys.readouterr().err


def test_a_training_cannot_go_on_from_published_weights(run, capsys):
    release("release.pth")
    run("colorful", "release.pth", "-o", "out.ckpt")
    words = ["experiment=colorful_synthetic", "resume=out.ckpt", "model.width=2", "run_dir=run", "data.workers=0"]
    assert cli.main(["train", *words, "iterations=2", "logger=none", "trainer.accelerator=cpu"]) == 2
    assert "it was made of published weights, not by a training" in capsys.readouterr().err


def test_the_source_and_its_hash_are_kept(run):
    release("release.pth")
    run("colorful", "release.pth", "-o", "out.ckpt")
    module, checkpoint = load_module("out.ckpt")
    assert checkpoint["converted"]["source"].startswith("the authors' PyTorch release")
    assert len(checkpoint["converted"]["sha256"]) == 64 and checkpoint["iteration"] == 0
    assert module.cfg.width == 2 and module.cfg.temperature == 1


def test_an_existing_file_is_replaced_only_when_asked(run, capsys):
    release("release.pth")
    Path("out.ckpt").write_text("mine")
    assert run("colorful", "release.pth", "-o", "out.ckpt") == 2
    assert "out.ckpt exists; give --overwrite to replace it" in capsys.readouterr().err
    assert Path("out.ckpt").read_text() == "mine"
    assert run("colorful", "release.pth", "-o", "out.ckpt", "--overwrite") == 0
    assert run("colorful", "release.pth", "-o", "release.pth", "--overwrite") == 2
    assert "-o release.pth is the file that is read" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(run, monkeypatch, capsys):
    def fail(content, path):
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file\nmore")

    release("release.pth")
    monkeypatch.setattr(convert.torch, "save", fail)
    assert run("colorful", "release.pth", "-o", "out.ckpt") == 2
    assert capsys.readouterr().err == (
        "chromafill convert: out.ckpt cannot be written: PytorchStreamWriter failed writing file\n"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["mask.png", "photo.png", "release.pth"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["colorful"], "FILE is required; --list prints what can be converted"),
        (["colorful", "photo.png"], "-o OUT is required"),
        (["colourful", "photo.png", "-o", "out"], "no published weights of 'colourful' are known; nearest: colorful"),
        (["colorful", "gone.pth", "-o", "out"], "no file gone.pth"),
        (["colorful", "photo.png", "-o", "no/out"], "-o no/out must name a file in a folder that exists"),
        (["colorful", "photo.png", "-o", "out", "--format", "cafe"], "no 'cafe' of colorful; nearest: caffe"),
        (["colorful", "photo.png", "-o", "out"], "photo.png is no file of weights that can be read"),
        (["context_encoder", "release.pth", "-o", "out"], "is no file of ContextEncoder in a known format (torch7"),
        (["colorful", "release.pth", "-o", "out", "--format", "caffe"], "nearest is caffe, of which the file lacks"),
        (
            ["colorful", "bare.pth", "-o", "out"],
            "bare.pth is not quite the format eccv16: it lacks network.model3.0.bias",
        ),
        (["colorful", "cut.pth", "-o", "out"], "cut.pth is not a readable PyTorch file"),
        (["colorful", "done.ckpt", "-o", "out"], "done.ckpt is a chromafill checkpoint already"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_writes_nothing(run, words, message, capsys):
    release("release.pth")
    state = torch.load("release.pth", weights_only=True)
    torch.save({key: value for key, value in state.items() if key != "model3.0.bias"}, "bare.pth")
    Path("cut.pth").write_bytes(Path("release.pth").read_bytes()[:1000])
    torch.save({"state_dict": state, "config": {}, "iteration": 1}, "done.ckpt")
    assert run(*words) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert not Path("out").exists()


def test_the_list_names_every_format(run, capsys):
    assert run("--list") == 0
    printed = capsys.readouterr().out
    formats = [each for _, cls in papers().values() for each in convert.published(cls)]
    assert len(formats) >= 11 and all(each.name in printed for each in formats)


def test_names_of_formats_are_unique_within_a_paper_and_every_source_has_a_licence():
    for _, cls in papers().values():
        formats = convert.published(cls)
        assert len({each.name for each in formats}) == len(formats)
        assert all(each.licence for each in formats if isinstance(each, Published))
