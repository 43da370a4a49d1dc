import hashlib
import json
from types import SimpleNamespace

import torch
from toys import synthetic
from wandb_files import finished_records, of_kind

from experiments.loggers.identity import Identity
from experiments.loggers.wandb_artifacts import artifact_name, keep_checkpoints, manifest, use_data
from experiments.loggers.wandb_run import start

SETTINGS = {"_target_": "datamodules.synthetic.Synthetic"}


def test_the_manifest_has_counts_and_the_hash_of_the_names_in_order():
    found = manifest(SETTINGS, synthetic(4, limit=3))
    source = synthetic(4).dataset("val").source
    names = "\n".join(source.name(position) for position in range(3))
    assert found["data"] == "synthetic" and found["splits"]["train"]["count"] == 3
    assert found["splits"]["val"] == {"count": 3, "images_sha256": hashlib.sha256(names.encode()).hexdigest()}


def test_a_run_takes_the_manifest_in_online_and_offline_and_its_digest_is_that_of_the_content(tmp_path):
    seen = []
    online = SimpleNamespace(offline=False, use_artifact=seen.append)
    found = use_data(online, SETTINGS, synthetic(4))
    assert [artifact.name for artifact in seen] == ["data-synthetic"] and found["digest"] == seen[0].digest
    assert use_data(online, SETTINGS, synthetic(4, limit=3))["digest"] != found["digest"]
    identity = Identity(group="toy", job_type="train", name="toy/run", tags=(), study=None)
    run = start(identity, tmp_path, {})
    assert use_data(run, SETTINGS, synthetic(4)) == found
    run.finish()
    (artifact,) = of_kind(finished_records(tmp_path), "artifact")
    assert artifact.use_after_commit and artifact.digest == found["digest"] and artifact.type == "dataset"


def test_checkpoints_of_a_trial_are_references_with_the_words_best_and_last(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("best", "last"):
        torch.save({"name": name}, tmp_path / "checkpoints" / f"{name}.ckpt")
    study = {"name": "alpha", "kind": "sweep", "trial": "trial-3", "row": "trial-3"}
    identity = Identity(group="alpha", job_type="train", name="alpha/trial-3", tags=(), study=study)
    run = start(identity, tmp_path, {})
    learnt_from = {"artifact": "data-synthetic", "digest": "1a2b"}
    keep_checkpoints(run, identity, tmp_path, {"val/psnr": 20.0}, learnt_from)
    run.finish()
    best, last = of_kind(finished_records(tmp_path), "artifact")
    assert best.name == last.name == "alpha-trial-3"
    assert "best" in best.aliases and "last" in last.aliases
    assert json.loads(last.metadata) == {"data": learnt_from, "scores": {"val/psnr": 20.0}}
    assert json.loads(best.metadata) == {"data": learnt_from}
    (content,) = last.manifest.contents
    assert content.ref == (tmp_path / "checkpoints" / "last.ckpt").as_uri() and not content.local_path
    assert finished_records(tmp_path)[-1].exit.exit_code == 0


def test_artifact_names_have_only_what_wandb_takes():
    assert artifact_name("colorful_photos/a b:c/1.5") == "colorful_photos-a-b-c-1.5"
    assert len(artifact_name("x" * 300)) == 128
