import json

import pytest
from wandb_files import config, finished_records, history, of_kind, summary

from experiments.loggers.wandb_scores import send_scores

RECORD = {
    "protocol": {"name": "inpainting_default", "task": "inpainting", "data": "photos"},
    "metrics": {"psnr": {"unit": "dB"}, "fid": {"unit": ""}},
    "rows": [
        {
            "name": "a.ckpt",
            "checkpoint": {
                "experiment": "glcic_photos",
                "iteration": 7,
                "sha256": "0",
                "model": {"_target_": "lightning_modules.inpainting.glcic.GLCIC"},
            },
            "means": {
                "psnr": {"value": 20.0, "low": 19.0, "high": 21.0},
                "fid": {"value": 50.0, "low": None, "high": None},
            },
        },
        {
            "name": "baseline/mean_fill",
            "checkpoint": None,
            "means": {"psnr": {"value": 10.0, "low": 9.0, "high": 11.0}},
        },
    ],
}
PER_IMAGE = (
    'index,name,hole_ratio,a.ckpt/psnr,baseline/mean_fill/psnr\n0,"x, y.png",0.25,20.5,\n1,z.png,0.5,19.5,10.0\n'
)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "runs" / "glcic_photos" / "first" / "evaluation" / "photos-default"
    made.mkdir(parents=True)
    (made / "scores.json").write_text(json.dumps(RECORD))
    (made / "per_image.csv").write_text(PER_IMAGE)
    return made


def table(folder, name):
    (path,) = folder.glob(f"wandb/offline-run-*/files/media/table/{name}_*.table.json")
    return json.loads(path.read_text())


def test_an_evaluation_is_a_run_with_scores_tables_and_an_artifact(folder):
    send_scores(RECORD, folder)
    found = finished_records(folder)
    run = of_kind(found, "run")[0]
    assert (run.run_group, run.job_type) == ("glcic_photos", "evaluate")
    assert run.display_name == "glcic_photos/first/photos-default"
    assert summary(found)["score/psnr"] == 20.0 and summary(found)["score/fid"] == 50.0
    assert config(found)["checkpoints"]["a.ckpt"]["iteration"] == 7
    assert any(key.startswith("per_image") for key in history(found)[0])
    images = table(folder, "per_image")
    assert images["columns"] == ["index", "name", "hole_ratio", "a.ckpt/psnr", "baseline/mean_fill/psnr"]
    assert images["data"][0] == [0, "x, y.png", 0.25, 20.5, None]
    scores = table(folder, "scores")
    assert scores["data"] == [
        ["a.ckpt", "psnr", "dB", 20.0, 19.0, 21.0],
        ["a.ckpt", "fid", "", 50.0, None, None],
        ["baseline/mean_fill", "psnr", "dB", 10.0, 9.0, 11.0],
    ]
    (artifact,) = [each for each in of_kind(found, "artifact") if each.type == "evaluation"]
    assert {"scores.json", "per_image.csv", "per_image.table.json"} <= {e.path for e in artifact.manifest.contents}


def test_wandb_that_fails_leaves_the_files_and_says_so(folder, monkeypatch, caplog):
    import wandb

    def fail(**settings):
        raise wandb.Error("no room")

    monkeypatch.setattr(wandb, "init", fail)
    send_scores(RECORD, folder)
    assert [r.getMessage() for r in caplog.records] == ["wandb: no room; going on without it"]
    assert sorted(path.name for path in folder.iterdir()) == ["per_image.csv", "scores.json"]
