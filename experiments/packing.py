"""A data set packed as shards, and the shards checked: `chromafill data pack|verify`. Single shards are the work of
datamodules/packing.py."""

import importlib.util
import json
import os
import pickle
import shutil
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from datamodules.packing import ShardWriter, finished, names_sha256, replaced, write_shards
from datamodules.shard_manifest import FORMAT, VERSION, differences, files_of, parsed
from datamodules.shard_store import MANIFEST, LocalStore, store_of, synced
from experiments.errors import UserError
from experiments.evaluation.mask_sets import require_room
from experiments.progress import ProgressLines

PATIENCE = 15.0  # seconds; the workers of a packing that was killed hold its lock until they find out


def pack_data(folder, data, splits, settings, workers, about):
    """Packs splits of a data module; the folder appears when all is written. -> the manifest.

    about: what the manifest says beside what is packed; `data` names the data set. A packing that was stopped goes on
    with the shards that are missing. Raises UserError where the folder is not free, or was begun with other images or
    settings.
    """
    if importlib.util.find_spec("litdata") is None:
        raise UserError("packing needs litdata: pip install 'chromafill[stream]'")
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    require_room(folder)
    datasets = {split: data.dataset(split) for split in splits}
    sources = {split: names_sha256(each.source, len(each)) for split, each in datasets.items()}
    plan = {"data": about["data"], "settings": settings.described(), "sources": sources}
    with staged(folder, plan) as (staging, records):
        entries = {}
        for split, dataset in datasets.items():
            twin = next((other for other in entries if is_same(dataset, datasets[other])), None)
            if twin is None:
                writer = ShardWriter(dataset.source, len(dataset), settings, staging / split, records / split)
                entries[split] = pack_split(split, writer, workers)
            else:
                entries[split] = {"same_as": twin}
            entries[split]["source_sha256"] = sources[split]
        manifest = {"format": FORMAT, "version": VERSION} | about
        manifest |= {"settings": settings.described(), "splits": entries}
        replaced(staging / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


def pack_split(split, writer, workers):
    """Writes the shards of a split that are missing. -> its entry of the manifest."""
    missing = writer.missing()
    with ProgressLines(len(writer), f"pack {split}: shards", done=len(writer) - len(missing)) as progress:
        for _ in write_shards(writer, missing, workers):
            progress.advance()
    return finished(writer, split)


def is_same(first, second):
    """Whether two datasets read the same images: their sources are the same once pickled."""
    return len(first) == len(second) and pickle.dumps(first.source) == pickle.dumps(second.source)


@contextmanager
def staged(folder, plan):
    """(a folder that takes the name `folder` at the end, a folder for records of the work), both in a hidden one beside
    it. That stays where the work is stopped, and is taken up again by the same plan. Raises UserError."""
    work = folder.with_name(f".{folder.name}.packing")
    note = work / "plan.json"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock", timeout=PATIENCE):
            if note.exists() and json.loads(note.read_text()) != plan:
                raise UserError(
                    f"{work} was begun with other images or settings; give those again, or remove it to begin anew"
                )
            replaced(note, json.dumps(plan))
            for part in ("shards", "records"):
                (work / part).mkdir(exist_ok=True)
            yield work / "shards", work / "records"
            os.replace(work / "shards", folder)
            synced(folder.parent)
        shutil.rmtree(work)
    except Timeout:
        raise UserError(f"another process is packing to {folder}") from None
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None


def verify_shards(root):
    """Prints what differs between a folder of shards and its manifest. -> exit code: 0, or 1 where anything does."""
    store = store_of(root)
    if not isinstance(store, LocalStore):
        raise UserError(f"verify reads a local folder, not {root}; files from a URL are checked as they are brought")
    manifest = parsed(store.manifest(), store)
    packed = {split: entry for split, entry in manifest["splits"].items() if "same_as" not in entry}
    total = sum(len(files_of(entry)) for entry in packed.values())
    wrong = 0
    with ProgressLines(total, "verify: files") as progress:
        for path, what in differences(store.root, manifest):
            if what is not None:
                print(f"{path}: {what}")
                wrong += 1
            progress.advance()
    images = sum(entry["images"] for entry in packed.values())
    print(f"{wrong} of {total} files differ" if wrong else f"{total} files with {images:,} images are as packed")
    return 1 if wrong else 0
