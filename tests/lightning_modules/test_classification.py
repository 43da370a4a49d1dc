import json

import lightning.pytorch as pl
import pytest
import torch
from tiny_checkpoints import colorizer
from toys import fit, synthetic

from experiments.checkpoints import load_module
from experiments.reliability.peak import peak_mib
from lightning_modules.classification import hits
from lightning_modules.ops.class_maps import colours
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.representation.fine_tune import FineTune
from lightning_modules.representation.linear_probe import LinearProbe

KINDS = [
    (LinearProbe, {"layers": ["network.model1", "network.model2"]}),
    (FineTune, {"layer": "network.model2", "hidden": 4}),
]
NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return colorizer(tmp_path_factory.mktemp("files") / "color.ckpt")


def data(iterations=2, **settings):
    return synthetic(iterations, **{"crop": 32, "batch_size": 8, "train_count": 16} | settings)


def batches():
    return data().initial_batches()


class StopAfter(pl.Callback):
    """Writes a checkpoint after so many iterations, as a run leaves it that is killed then."""

    def __init__(self, iterations, path):
        self.iterations, self.path = iterations, path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if module.iteration == self.iterations:
            trainer.save_checkpoint(self.path)


def module(cls, settings, checkpoint, **overrides):
    torch.manual_seed(0)
    made = cls(**{"checkpoint": str(checkpoint), "features": 32} | settings | overrides)
    made.class_names = NAMES
    return made


def ready(cls, settings, checkpoint, **overrides):
    made = module(cls, settings, checkpoint, **overrides)
    made.initialise(batches())
    return made


def test_first_and_first_five_by_hand():
    logits = torch.tensor([[0.0, 5, 4, 3, 2, 1], [0, 5, 4, 3, 2, 1], [0, 5, 4, 3, 2, 1]])
    assert {name: hit.tolist() for name, hit in hits(logits, torch.tensor([1, 5, 0])).items()} == {
        "top1": [1, 0, 0],
        "top5": [1, 1, 0],
    }
    assert list(hits(logits[:, :5], torch.tensor([1, 4, 0]))) == ["top1"]


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_the_trivial_answer_is_the_commonest_label_of_the_first_batches(cls, settings, checkpoint):
    made = module(cls, settings, checkpoint)
    first = next(batches())
    made.initialise([first | {"label": torch.tensor([3, 1, 3, 0, 3, 2, 1, 5])}])
    assert made.commonest == 3
    assert made.trivial({"label": torch.tensor([3, 1])}) == {"accuracy_trivial": pytest.approx(torch.tensor([1.0, 0]))}


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_a_class_is_shown_as_its_colour(cls, settings, checkpoint):
    made, batch = ready(cls, settings, checkpoint).eval(), next(batches())
    panels = made.panels(batch)
    assert list(panels) == ["input", "class", "truth"] and panels["truth"].shape == batch["image"].shape
    assert torch.equal(panels["truth"][0, :, 3, 4], colours(batch["label"][:1, None, None])[0, :, 0, 0])
    assert torch.equal(panels["class"], made.picture(made.logits(batch).argmax(1), batch))


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_its_checkpoint_needs_the_first_one_no_more(cls, settings, checkpoint, tmp_path):
    first = tmp_path / "first.ckpt"
    first.write_bytes(checkpoint.read_bytes())
    made, batch = ready(cls, settings, first), next(batches())
    fit(made, data()).save_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    target = f"{cls.__module__}.{cls.__name__}"
    model = {"_target_": target, "checkpoint": str(first), "features": 32} | settings
    torch.save(content | {"config": {"model": model}}, tmp_path / "last.ckpt")
    first.unlink()
    restored, _ = load_module(tmp_path / "last.ckpt")
    assert torch.equal(restored.logits(batch), made.eval().logits(batch))
    assert restored.commonest == made.commonest and restored.class_names == NAMES


@pytest.mark.parametrize(
    "recipe", [b"", b"\xff", b"[]", b"[" * 10**5, b'{"encoder": 3}', b'{"encoder": {"_target_": "os.x"}}']
)
@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_a_recipe_of_a_stranger_is_refused_in_one_line(cls, settings, checkpoint, recipe):
    made = module(cls, settings, checkpoint)
    state = made.state_dict() | {"_extra_state": torch.tensor(list(recipe), dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match=f"recipe of {cls.__name__} cannot be used") as error:
        made.load_state_dict(state)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_a_small_checkpoint_asks_for_no_large_encoder(cls, settings, checkpoint, tmp_path):
    state = ready(cls, settings, checkpoint).state_dict()
    recipe = json.loads(bytes(state["_extra_state"].tolist()))
    recipe["encoder"]["width"] = 10**4
    state["_extra_state"] = torch.tensor(list(json.dumps(recipe).encode()), dtype=torch.uint8)
    model = {"_target_": f"{cls.__module__}.{cls.__name__}"} | settings
    torch.save({"state_dict": state, "config": {"model": model}, "iteration": 1}, tmp_path / "last.ckpt")
    memory = peak_mib()
    with pytest.raises(CheckpointError, match="does not hold the weights of .*: size mismatch for encoder"):
        load_module(tmp_path / "last.ckpt")
    assert peak_mib() - memory < 100


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_a_run_goes_on_as_if_it_had_not_been_stopped_without_the_first_checkpoint(cls, settings, checkpoint, tmp_path):
    whole = ready(cls, settings, checkpoint)
    fit(whole, data(4))
    fit(ready(cls, settings, checkpoint), data(4), callbacks=[StopAfter(2, tmp_path / "half.ckpt")])
    rest, remaining = module(cls, settings, "gone.ckpt"), data(4)
    remaining.done, remaining.seen = 2, 16
    fit(rest, remaining, checkpoint=tmp_path / "half.ckpt")
    assert rest.iteration == 4
    for key, value in whole.state_dict().items():
        assert torch.equal(rest.state_dict()[key], value), key


@pytest.mark.parametrize(("cls", "settings"), KINDS)
def test_what_does_not_fit_is_said_before_training(cls, settings, checkpoint):
    batch = next(batches())
    unlabelled = {key: value for key, value in batch.items() if key != "label"}
    with pytest.raises(ValueError, match="judged by labels, which this data set has not"):
        module(cls, settings, checkpoint).check(unlabelled)
    nameless = module(cls, settings, checkpoint)
    nameless.class_names = None
    with pytest.raises(ValueError, match="does not name its classes; give their number, model.classes=N"):
        nameless.check(batch)
    with pytest.raises(ValueError, match="the data has at least 8 classes; model.classes is 5"):
        module(cls, settings, checkpoint, classes=5).check(batch)
    with pytest.raises(ValueError, match="give model.checkpoint=PATH"):
        module(cls, settings | {"checkpoint": None}, checkpoint).initialise(batches())
    nearest = "no layer 'network.modell' in Colorful; nearest: network.model"
    wrong = {"layers": ["network.modell"]} if cls is LinearProbe else {"layer": "network.modell"}
    with pytest.raises(ValueError, match=nearest):
        module(cls, settings | wrong, checkpoint).initialise(batches())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"weights": "random"}, "model.weights must be trained or untrained, got 'random'"),
        ({"classes": 1}, "model.classes must be at least 2, got 1"),
        ({"features": 0}, "model.features must be at least 1, got 0"),
    ],
)
@pytest.mark.parametrize("cls", [LinearProbe, FineTune])
def test_impossible_settings_are_refused(cls, setting, message):
    with pytest.raises(ValueError, match=message):
        cls.Config(**setting)
