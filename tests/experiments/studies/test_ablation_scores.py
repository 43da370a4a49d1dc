"""A checkpoint is measured once, on the base row's images, and with the numbers that `chromafill evaluate` gives."""

import os

import pytest
from ablation_studies import TINY

from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.run_record import RUN_DIR
from experiments.studies import ablation_scores
from experiments.studies.ablation_scores import inputs_shown, make_bench, measure
from experiments.verbs import evaluate
from experiments.verbs.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a tiny run."""
    folder = tmp_path_factory.mktemp("run")
    os.environ.pop(RUN_DIR, None)
    train(compose_config([*TINY, f"run_dir={folder}"]))
    os.environ.pop(RUN_DIR, None)
    return folder


def checkpoint(run):
    return str(run / "checkpoints" / "last.ckpt")


def bench(run, cache, *words, base=TINY):
    config = compose_config(base)
    return make_bench(config, "colorization", "colorization_default", words, like=checkpoint(run), cache=cache)


def test_scores_are_those_of_an_evaluation(run, tmp_path):
    found = measure(bench(run, tmp_path), checkpoint(run))
    words = [f"checkpoint={checkpoint(run)}", f"output={tmp_path / 'scores'}", "examples=0", "trainer.accelerator=cpu"]
    evaluate.run(evaluate.parser().parse_args(words))
    text = (tmp_path / "scores" / "per_image.csv").read_text().splitlines()
    column = text[0].split(",").index(f"{checkpoint(run)}/psnr")
    assert found["images"]["psnr"] == pytest.approx([float(line.split(",")[column]) for line in text[1:]])
    assert found["means"]["psnr"] == pytest.approx(sum(found["images"]["psnr"]) / 6)


def test_a_checkpoint_is_measured_once_and_again_with_another_decoder(run, tmp_path, monkeypatch):
    setup = bench(run, tmp_path)
    first = measure(setup, checkpoint(run))
    cold = measure(setup, checkpoint(run), {"temperature": 0.0})
    assert first["means"] != cold["means"] and first["sha256"] == cold["sha256"]
    monkeypatch.setattr(ablation_scores, "scores_of", None)  # would fail where it is called
    assert measure(bench(run, tmp_path), checkpoint(run)) == first
    with pytest.raises(TypeError):
        measure(bench(run, tmp_path, "data.limit=5"), checkpoint(run))


def test_all_rows_are_scored_on_the_images_of_the_base_row(run, tmp_path):
    other = bench(run, tmp_path, base=[*TINY, "data.limit=3"])
    assert len(measure(other, checkpoint(run))["images"]["psnr"]) == 3
    assert len(measure(other, "baseline/grey")["images"]["psnr"]) == 3


def test_the_pictures_are_of_the_same_images_for_all(run, tmp_path):
    setup = bench(run, tmp_path)
    assert setup.positions() == [0, 2, 3, 5]
    assert [set(image) for image in inputs_shown(setup)] == [{"name", "input", "truth"}] * 4
    truth = measure(setup, "baseline/truth")["pictures"]
    assert truth == [image["truth"] for image in inputs_shown(setup)]


def test_a_decoder_that_the_paper_does_not_have_is_refused(run, tmp_path):
    with pytest.raises(UserError, match="protocol.decoder does not fit"):
        measure(bench(run, tmp_path), checkpoint(run), {"heat": 1.0})
