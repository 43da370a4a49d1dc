from types import SimpleNamespace

import pytest
import torch

from experiments.compose import compose_config
from experiments.reliability import numbers_planted
from experiments.reliability.small_runs import small


def test_papers_with_a_discriminator_have_two_optimisers():
    assert numbers_planted.optimizers_of("glcic") == numbers_planted.optimizers_of("context_encoder") == "gd"
    assert numbers_planted.optimizers_of("colorful") == "g"


def test_a_nan_has_the_bits_of_itself_and_of_no_other_number():
    weights = [torch.tensor([1.0, float("nan")])]
    before = numbers_planted.bits(weights)
    assert torch.equal(numbers_planted.bits(weights), before)
    weights[0][0] = 1.0000001
    assert not torch.equal(numbers_planted.bits(weights), before)


@pytest.mark.parametrize("place", numbers_planted.PLACES)
def test_each_place_is_planted_at_its_iteration_and_not_before(place):
    weight = torch.nn.Parameter(torch.ones(2))
    trainer = SimpleNamespace(optimizers=[torch.optim.SGD([weight], lr=1.0)])
    plant = numbers_planted.Plant(place, float("inf"), 0, at=2)
    batch = {"image": torch.ones(2, 3, 4, 4)}
    for iteration in (0, 1):  # of the step before
        plant.on_train_batch_start(trainer, SimpleNamespace(iteration=iteration), batch, 0)
        weight.sum().backward()
        found = {"weight": weight, "batch": batch["image"][0], "gradient": weight.grad}[place]
        assert found.isinf().any() == (iteration == 1)
        weight.grad = None


def test_a_run_that_goes_on_is_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(numbers_planted, "fit", lambda config, plant: None)
    assert numbers_planted.planted("scene_parser", "batch", float("nan"), 0, tmp_path / "run") == "the run went on"


def test_what_is_left_on_disk_holds_all_to_see_the_bad_number_again(tmp_path):
    paper, value = "scene_parser", float("inf")
    assert numbers_planted.planted(paper, "weight", value, 0, tmp_path / "run") is None
    config = compose_config([*small(paper), f"run_dir={tmp_path / 'run'}"])
    left = tmp_path / "run" / "nonfinite_rank0.pt"
    content = torch.load(left, weights_only=True)
    assert content["iteration"] == numbers_planted.AT and len(content["image"]) == 4
    assert "weight network." in numbers_planted.failure(numbers_planted.replay, config, left)
    content["state_dict"] = {
        key: torch.nan_to_num(w.float(), posinf=0).to(w) for key, w in content["state_dict"].items()
    }
    torch.save(content, left)
    assert numbers_planted.failure(numbers_planted.replay, config, left) is None
