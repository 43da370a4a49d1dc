"""A study on disk: a page for each algorithm, manifest.json, which knows the truth, and the pictures for the results.

The pages know which picture is the fake for the practice trials alone. Both pictures of a pair are cut, rounded to 8
bits, reduced and written as PNG alike.
"""

import base64
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from experiments.errors import UserError
from experiments.evaluation.baselines import BASELINES
from experiments.evaluation.score_record import protocol_record
from experiments.evaluation.scoring import packed_sha256, pixels_sha256
from experiments.evaluation.setup import data_name
from experiments.pages.render import image_uri, render
from experiments.progress import ProgressLines
from experiments.turing.design import CATCH, PRACTICE, SCORED, pairs, roles
from lightning_modules.ops.png import to_uint8

FORMAT = 1  # of manifest.json
CATCH_BASELINE = {"colorization": "random_colour", "inpainting": "mean_fill"}  # what the fakes of catch trials are


def batches(setup, positions, device, note):
    """Batches of the images at these positions, on the device."""
    data, size = setup.data, setup.data.config.batch_size
    keys = [[(0, position) for position in positions[first : first + size]] for first in range(0, len(positions), size)]
    with ProgressLines(len(keys), note) as progress:
        for batch in data.loader(data.dataset(setup.config["split"]), keys):
            batch = {key: value.to(device) if torch.is_tensor(value) else value for key, value in batch.items()}
            yield data.on_after_batch_transfer(batch)
            progress.advance()


def eight_bits(rgb, name):
    """RGB in [0,1] -> uint8 on the CPU, rounded. UserError where the answer is none."""
    if not rgb.isfinite().all():
        raise UserError(f"{name} answers with values that are not finite; is the checkpoint sound?")
    return to_uint8(rgb).cpu()


@torch.inference_mode()
def true_and_fake(setup, candidates, positions, device):
    """The photographs and what each candidate makes of them, uint8 (N,3,H,W), in the order of `positions`, and the
    `packed_sha256` of their masks: (truth, {candidate: fakes}, digests)."""
    truth, fakes, digests = [], {candidate.name: [] for candidate in candidates}, []
    for batch in batches(setup, positions, device, "photographs, batches"):
        truth.append(eight_bits(batch["image"], "the data"))
        for candidate in candidates:
            fakes[candidate.name].append(eight_bits(candidate.answer(batch), candidate.name))
        if "mask" in batch:
            digests += map(packed_sha256, batch["mask"])
    fakes = {name: torch.cat(parts) for name, parts in fakes.items()}
    return torch.cat(truth), fakes, digests


@torch.inference_mode()
def catch_fakes(setup, positions, device):
    """What nobody who looks takes for a photograph. uint8 (N,3,H,W)."""
    name = CATCH_BASELINE[setup.config["protocol"]["task"]]
    answers = [BASELINES[name].answer(batch, setup.data) for batch in batches(setup, positions, device, "catch trials")]
    return torch.cat([eight_bits(answer, name) for answer in answers])


def make_study(folder, setup, candidates, design, positions, device):
    """Writes the study, whole or not at all. -> its manifest."""
    config, dataset = setup.config, setup.data.dataset(setup.config["split"])
    task, seed = config["protocol"]["task"], config["seed"]
    names = [dataset.name(position) for position in positions]
    caught = [place for place, role in enumerate(roles(len(positions), design)) if role == CATCH]
    catch = dict(zip(caught, catch_fakes(setup, [positions[place] for place in caught], device), strict=True))
    truth, fakes, digests = true_and_fake(setup, candidates, positions, device)
    manifest = {
        "format": FORMAT,
        "protocol": protocol_record(
            config, data_name(config["data"]), names, list(map(pixels_sha256, truth)), digests, networks={}
        ),
        "design": asdict(design) | {"scored": design.scored, "catch": design.catch},
        "catch_fakes": f"baseline/{CATCH_BASELINE[task]}",
        "images": [{"index": position, "name": name} for position, name in zip(positions, names, strict=True)],
        "pages": [],
    }
    uris = []
    for number, candidate in enumerate(candidates, 1):
        of_page = pairs(len(positions), design, number, seed)
        uris.append(picture_uris(of_page, truth, fakes[candidate.name], catch, design.side))
        manifest["pages"].append(page_record(number, candidate, of_page, uris[-1]))
    manifest = {"study": study_id(manifest)} | manifest
    write_study(folder, manifest, uris)
    return manifest


def picture_uris(of_page, truth, fakes, catch, side):
    """{picture: data URI} of the pairs. truth, fakes: uint8 (N,3,H,W); catch: {photograph: fake instead of that}."""
    uris = {}
    for pair in of_page:
        real, fake = truth[pair.image], catch.get(pair.image, fakes[pair.image])
        for name, image in zip(pair.pictures, (fake, real) if pair.fake == 0 else (real, fake), strict=True):
            uris[name] = image_uri(image, side=side, lossless=True)
    return uris


def page_record(number, candidate, of_page, uris):
    """What the manifest says of a page."""
    return {
        "page": number,
        "file": f"page-{number}.html",
        "name": candidate.name,
        "checkpoint": candidate.identity or None,
        "pairs": [asdict(pair) for pair in of_page],
        "pictures_sha256": hashlib.sha256("\n".join(uris.values()).encode()).hexdigest(),
    }


def study_id(manifest):
    """16 hexadecimal digits that stand for all that a study is."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def page_html(manifest, page, uris):
    """The page that participants open. uris: {picture: data URI}."""
    design = manifest["design"]
    of = {role: [pair for pair in page["pairs"] if pair["role"] == role] for role in (PRACTICE, SCORED, CATCH)}
    study = {
        "study": manifest["study"],
        "page": page["page"],
        "task": manifest["protocol"]["task"],
        "side": design["side"],
        "exposure": design["exposure"],
        "pause": design["pause"],
        "turns": design["scored"],
        "practice": [[pair["id"], *pair["pictures"], pair["fake"]] for pair in of[PRACTICE]],
        "scored": [[pair["id"], *pair["pictures"]] for pair in of[SCORED]],
        "always": [[pair["id"], *pair["pictures"]] for pair in of[CATCH]],
    }
    seconds = design["exposure"]
    duration = "one second" if seconds == 1 else f"{seconds:g} seconds"
    pictures = dict(sorted(uris.items()))
    return render("turing.html", study=study, pictures=pictures, duration=duration, trials=design["trials"])


def write_study(folder, manifest, uris):
    """Everything under a temporary name first. UserError where nothing can be written."""
    folder = Path(folder)
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        write_files(draft, manifest, uris)
        draft.chmod(0o755)  # mkdtemp shuts everybody else out
        os.replace(draft, folder)
    except OSError as error:
        raise UserError(f"-o {folder} cannot be written: {error.strerror}") from None
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def write_files(folder, manifest, uris):
    (folder / "pictures").mkdir()
    for page, of_page in zip(manifest["pages"], uris, strict=True):
        (folder / page["file"]).write_text(page_html(manifest, page, of_page))
        for name, uri in of_page.items():
            picture = base64.b64decode(uri.partition(",")[2])
            (folder / "pictures" / f"{page['page']}-{name}.png").write_bytes(picture)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
