"""A checkpoint is measured once, on the base row's images, and with the numbers that `chromafill evaluate` gives."""

import os
from types import SimpleNamespace

import pytest
from ablation_studies import TINY

from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.evaluation.candidates import load_candidate
from experiments.run_record import RUN_DIR
from experiments.studies import ablation_scores
from experiments.studies.ablation_scores import code_sha256, inputs_shown, make_bench, measure
from experiments.verbs import evaluate
from experiments.verbs.train import train
from lightning_modules.pretrained.checkpoint import CheckpointError


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
    return make_bench(
        config, "colorization", "colorization_default", words, like=load_candidate(checkpoint(run)), cache=cache
    )


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


def test_what_other_code_measured_is_measured_again(run, tmp_path, monkeypatch):
    measure(bench(run, tmp_path), checkpoint(run))
    monkeypatch.setattr(ablation_scores, "code_sha256", lambda: "a metric was mended")
    mended = bench(run, tmp_path)
    monkeypatch.setattr(ablation_scores, "scores_of", None)  # would fail where it is called
    with pytest.raises(TypeError):
        measure(mended, checkpoint(run))


def test_the_hash_of_the_code_changes_with_a_file_and_with_a_library(tmp_path, monkeypatch):
    package = SimpleNamespace(__file__=str(tmp_path / "metrics" / "__init__.py"))
    (tmp_path / "metrics" / "more").mkdir(parents=True)
    (tmp_path / "metrics" / "more" / "psnr.py").write_text("1")
    monkeypatch.setattr(ablation_scores, "experiments", package)
    seen = [code_sha256(), code_sha256()]
    assert seen[0] == seen[1]
    (tmp_path / "metrics" / "more" / "psnr.py").write_text("2")
    seen.append(code_sha256())
    monkeypatch.setattr(ablation_scores, "version", lambda name: "3.0")
    assert len({*seen, code_sha256()}) == 3


def test_a_checkpoint_that_is_gone_is_one_line(run, tmp_path):
    with pytest.raises(CheckpointError, match="its checkpoint .*gone.ckpt cannot be read: No such file or directory"):
        measure(bench(run, tmp_path), str(tmp_path / "gone.ckpt"))


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
