"""What wandb keeps of a run beside its curves: which images it learnt from, and its checkpoints."""

import hashlib
import json
import re


def manifest(settings, data):
    """What is certain of the images of a training: {data, splits: {split: {count, images_sha256}}}.

    The hash is that of the images' names in the order of the index, as scores.json has it.
    """
    splits = {}
    for split in ("train", "val"):
        dataset = data.dataset(split)
        names = hashlib.sha256()
        for position in range(len(dataset)):
            names.update(f"{chr(10) if position else ''}{dataset.name(position)}".encode())
        splits[split] = {"count": len(dataset), "images_sha256": names.hexdigest()}
    return {"data": settings["_target_"].split(".")[-2], "splits": splits}


def use_data(run, settings, data):
    """The manifest as an artifact that the run takes in. -> its name and digest, for what comes of it.

    Offline wandb's `use_artifact` refuses, since it would wait for the server. The record that it writes online, of
    which `wandb sync` makes an input, comes from a private call.
    """
    import wandb

    content = manifest(settings, data)
    artifact = wandb.Artifact(f"data-{content['data']}", type="dataset", metadata=content)
    with artifact.new_file("manifest.json") as file:
        json.dump(content, file, indent=2)
    if run.offline:
        run._log_artifact(artifact, aliases=[], is_user_created=True, use_after_commit=True)
    else:
        run.use_artifact(artifact)
    return {"artifact": artifact.name.split(":")[0], "digest": artifact.digest}


def keep_checkpoints(run, identity, folder, scores, learnt_from):
    """best.ckpt and last.ckpt as two versions of one artifact, with these words as aliases.

    learnt_from: what `use_data` gave. Those of a study's trials are kept as references to their files: hundreds of
    trials would fill the quota.
    """
    import wandb

    for name in ("best", "last"):
        path = (folder / "checkpoints" / f"{name}.ckpt").resolve()
        if not path.exists():
            continue
        metadata = {"data": learnt_from} | ({"scores": scores} if name == "last" else {})
        artifact = wandb.Artifact(artifact_name(identity.name), type="model", metadata=metadata)
        if identity.study is None:
            artifact.add_file(str(path), name=f"{name}.ckpt", policy="immutable")  # or wandb makes a copy of it
        else:
            artifact.add_reference(path.as_uri(), name=f"{name}.ckpt")
        run.log_artifact(artifact, aliases=[name])


def artifact_name(run_name):
    """What wandb takes: letters, digits, dots, dashes and underscores, at most 128 of them."""
    return re.sub(r"[^\w.-]+", "-", run_name, flags=re.ASCII)[-128:]
