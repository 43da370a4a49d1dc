import hashlib
from dataclasses import fields

import pytest
import tiny_checkpoints
import torch

from experiments.config_store import papers
from experiments.errors import UserError
from experiments.evaluation.candidates import checkpoint_candidate, load_candidates, require_one_task, set_decoder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of checkpoints of a colorizer and of an inpainter."""
    folder, found = tmp_path_factory.mktemp("candidates"), {}
    for task, make in {"colorization": tiny_checkpoints.colorizer, "inpainting": tiny_checkpoints.inpainter}.items():
        path = make(folder / f"{task}.ckpt")
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["config"]["experiment"] = "tiny"
        torch.save(checkpoint, path)
        found[task] = str(path)
    return found


def test_a_candidate_that_is_named_twice_is_there_once(files):
    names = [files["inpainting"], "baseline/telea", files["inpainting"]]
    assert [candidate.name for candidate in load_candidates(names)] == names[:2]


def test_a_checkpoint_is_identified_by_its_bytes(files):
    path = files["inpainting"]
    candidate = checkpoint_candidate(path)
    with open(path, "rb") as file:
        assert candidate.identity["sha256"] == hashlib.sha256(file.read()).hexdigest()
    assert (candidate.identity["experiment"], candidate.identity["iteration"]) == ("tiny", 1)
    assert candidate.identity["model"]["bottleneck"] == 8


def test_candidates_answer_with_pictures_of_the_size_asked_for(files):
    image, mask = torch.full((2, 3, 64, 64), 0.5), torch.zeros(2, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    batch = {"image": image, "mask": mask}
    for candidate in load_candidates([files["colorization"]]):
        assert candidate.answer(batch).shape == image.shape
    for candidate in load_candidates([files["inpainting"]]):
        done = candidate.answer(batch)
        assert torch.equal(done * (1 - mask), image * (1 - mask))


def test_a_mixture_of_tasks_is_refused(files):
    with pytest.raises(UserError, match="colorization.ckpt is for colorization, .*inpainting.ckpt is for inpainting"):
        require_one_task(load_candidates(list(files.values())))


def test_an_unknown_baseline_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="no baseline 'mean'; nearest: mean_fill"):
        load_candidates(["baseline/mean"])


def test_a_decoder_setting_replaces_the_checkpoints(files):
    network, baseline = load_candidates([files["colorization"], "baseline/grey"])
    before = network.module.cfg
    for candidate in (network, baseline):
        set_decoder(candidate, {"temperature": 0.5})
    assert network.module.cfg.temperature == 0.5 != before.temperature
    assert type(network.module.cfg) is type(before) and network.module.cfg.width == before.width


@pytest.mark.parametrize("settings", [{"width": 64}, {"temprature": 1}, {"_target_": "x"}])
def test_a_setting_that_does_not_act_when_predicting_is_refused_with_those_that_do(files, settings):
    with pytest.raises(
        UserError, match=f"colorization.ckpt: no '{next(iter(settings))}' among its settings, temperature"
    ):
        set_decoder(checkpoint_candidate(files["colorization"]), settings)
    with pytest.raises(UserError, match="inpainting.ckpt: no 'width' among its settings, none"):
        set_decoder(checkpoint_candidate(files["inpainting"]), {"width": 64})


@pytest.mark.parametrize("name", papers())
def test_the_settings_for_decoding_are_settings_of_the_paper(name):
    cls = papers()[name][1]
    assert {field.name for field in fields(cls.Config)} >= set(getattr(cls, "decoding", ()))


def test_the_memory_of_a_candidate_is_that_of_its_parameters_and_buffers(files):
    network, baseline = load_candidates([files["colorization"], "baseline/grey"])
    assert network.weight_bytes == sum(value.nbytes for value in network.module.state_dict().values())
    assert baseline.weight_bytes == 0


@pytest.mark.parametrize("settings", [{"temperature": "warm"}, {"temperature": -1}])
def test_a_decoder_setting_that_does_not_fit_is_refused(files, settings):
    with pytest.raises(UserError, match="protocol.decoder does not fit .*colorization.ckpt: .*(temp|warm)"):
        set_decoder(checkpoint_candidate(files["colorization"]), settings)
