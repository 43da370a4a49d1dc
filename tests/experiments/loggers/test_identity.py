import json

import pytest

from experiments.loggers.identity import of_evaluation, of_training

CONFIG = {
    "experiment": "glcic_photos",
    "model": {"_target_": "lightning_modules.inpainting.glcic.GLCIC"},
    "data": {"_target_": "datamodules.photos.Photos"},
}


def trial(folder, name, kind="ablation"):
    """The run folder of a trial."""
    run = folder / "studies" / "alpha" / "runs" / name
    run.mkdir(parents=True)
    (folder / "studies" / "alpha" / "study.json").write_text(json.dumps({"kind": kind}))
    return run


def record(*checkpoints):
    return {
        "protocol": {"name": "inpainting_default", "task": "inpainting", "data": "photos"},
        "rows": [{"checkpoint": checkpoint} for checkpoint in checkpoints],
    }


CHECKPOINT = {"experiment": "glcic_photos", "model": CONFIG["model"]}


def test_a_run_of_its_own_is_grouped_by_experiment(tmp_path):
    found = of_training(CONFIG, tmp_path / "runs" / "glcic_photos" / "first")
    assert (found.group, found.job_type, found.name) == ("glcic_photos", "train", "glcic_photos/first")
    assert found.tags == ("glcic", "inpainting", "photos") and found.study is None


@pytest.mark.parametrize(("name", "row"), [("no_adversarial-seed1", "no_adversarial"), ("trial-0007", "trial-0007")])
def test_a_trial_is_grouped_by_its_study_and_says_row_and_trial(name, row, tmp_path):
    found = of_training(CONFIG, trial(tmp_path, name))
    assert (found.group, found.name) == ("alpha", f"alpha/{name}")
    assert found.tags == ("glcic", "inpainting", "photos", "ablation")
    assert found.study == {"name": "alpha", "kind": "ablation", "trial": name, "row": row}


def test_a_folder_called_runs_makes_no_study(tmp_path):
    assert of_training(CONFIG, tmp_path / "runs" / "mine").name == "glcic_photos/mine"


def test_an_evaluation_is_in_the_group_of_the_training_that_made_the_checkpoint(tmp_path):
    run = tmp_path / "runs" / "glcic_photos" / "first"
    found = of_evaluation(record(CHECKPOINT, None), run / "evaluation" / "photos-default")
    assert (found.group, found.job_type) == ("glcic_photos", "evaluate")
    assert found.name == "glcic_photos/first/photos-default" and found.tags == ("glcic", "inpainting", "photos")


def test_an_evaluation_of_a_trial_is_in_the_study(tmp_path):
    found = of_evaluation(record(CHECKPOINT), trial(tmp_path, "full-seed0", "sweep") / "evaluation" / "photos-default")
    assert (found.group, found.name) == ("alpha", "alpha/full-seed0/photos-default")
    assert found.tags[-1] == "sweep" and found.study["row"] == "full"


def test_baselines_alone_are_grouped_by_the_protocol(tmp_path):
    found = of_evaluation(record(None, None), tmp_path / "photos-default")
    assert (found.group, found.name) == ("inpainting_default", "photos-default")
    assert found.tags == ("inpainting", "photos")
