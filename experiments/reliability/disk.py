"""A full disk, a folder that takes no files, damaged checkpoints: one line, nothing lost, and the run can go on."""

import random
import resource
import shutil
import subprocess
import time
from contextlib import contextmanager
from functools import partial

import torch

from experiments.reliability.finding import Finding
from experiments.reliability.killed_training import KILLED, Moment, in_step, output_of, run, seconds_of
from experiments.reliability.left_behind import differences, differing
from experiments.reliability.small_runs import small
from lightning_modules.pretrained.checkpoint import CheckpointError, damaged_part, read_checkpoint, write_checkpoint

TITLE = "Disk faults"
SETTINGS = [*small("context_encoder"), "ema_decay=0.9"]
SIZES = (12_000, 300_000, 900_000, 1_000_000, 1_750_000, 1_800_000, 2_600_000, 2_650_000, 2_700_000)  # of a disk
ENOUGH = 100_000_000
FLIPS = 300  # single bits
LARGE = 500_000_000  # bytes of the checkpoint whose reading and writing is timed


def findings(effort, folder):
    seconds_of(SETTINGS, folder / "whole")
    yield full_disks(folder)
    yield largest_file(folder)
    yield read_only(folder)
    yield damaged(folder)
    yield flipped_bits(folder)
    yield cost(folder)


@contextmanager
def small_disk(place, size):
    """Makes `place` a file system of `size` bytes in memory. PermissionError where this process may not."""
    place.mkdir()
    mount(place, f"size={size}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def mount(place, options):
    try:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        subprocess.run(words, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise PermissionError(f"no file system can be made here: {said.strip()}") from None


def full_disks(folder):
    what, filled, wrong = "small disks: one line where full, exit code 2, room made, resumed", 0, []
    for size in SIZES:
        place = folder / f"disk_{size}"
        try:
            with small_disk(place, size):
                code = run(SETTINGS, place)
                reason = why_not_refused(code, place) if code != 0 else None
                mount(place, f"remount,size={ENOUGH}")
                reason = reason or why_not_continued(folder / "whole", place)
        except PermissionError as error:
            return Finding(what=what, tried=0, held=0, note=str(error))
        filled += code != 0
        wrong += [f"{size} bytes: {reason}"] if reason else []
    note = "; ".join(wrong) or f"{filled} of them were filled"
    return Finding(what=what, tried=len(SIZES), held=len(SIZES) - len(wrong), note=note)


def why_not_refused(code, folder):
    """None, or what is wrong with how a run ended that could not write."""
    lines = [line for line in output_of(folder).splitlines() if "chromafill train: " in line or "Traceback" in line]
    if code != 2 or len(lines) != 1 or "Traceback" in lines[0]:
        return f"exit code {code}: {lines[-1:]}"
    left = [path.name for path in folder.rglob("*.tmp")]
    if left:
        return f"left lying: {left}"
    for path in (folder / "checkpoints").glob("*.ckpt"):
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            return str(error)
    return None


def why_not_continued(whole, folder):
    """None, or how the run that goes on does not end as the one that was not disturbed."""
    code = run(SETTINGS, folder)
    if code != 0:
        return f"exit code {code} when it went on: {output_of(folder)[-300:]}"
    return "; ".join(differences(whole, folder)[:3]) or None


def plant_limit(size):
    """No file of this process can grow beyond `size` bytes, as with a quota."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def largest_file(folder):
    """Checkpoints have 860 kB."""
    limited, limit = folder / "limited", Moment("small files only", partial(plant_limit, 500_000))
    code = run(SETTINGS, limited, limit)
    reason = why_not_refused(code, limited) or why_not_continued(folder / "whole", limited)
    what = "largest file reached: one line, exit code 2, resumed"
    return Finding(what=what, tried=1, held=0 if reason else 1, note=reason or "")


def read_only(folder):
    what, place = "folder that takes no files: one line, exit code 2, resumed", folder / "read_only"
    try:
        with small_disk(place, ENOUGH):
            reason = None if run(SETTINGS, place, in_step(7)) == KILLED else "was not killed"
            mount(place, "remount,ro")
            reason = reason or why_not_refused(run(SETTINGS, place), place)
            mount(place, "remount,rw")
            reason = reason or why_not_continued(folder / "whole", place)
    except PermissionError as error:
        return Finding(what=what, tried=0, held=0, note=str(error))
    return Finding(what=what, tried=1, held=0 if reason else 1, note=reason or "")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """One byte in the middle, where the weights are."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def damaged(folder):
    """last.ckpt and, in a second run each, all checkpoints; a run that has none left begins again."""
    killed, wrong, tried = folder / "killed", [], 0
    if run(SETTINGS, killed, in_step(7)) != KILLED:
        return Finding(what="damaged checkpoints", tried=1, held=0, note="the run was not killed")
    for damage in (cut, flip, empty, remove):
        for names in (("last",), ("last", "previous", "best")):
            tried += 1
            place = folder / f"{damage.__name__}_{len(names)}"
            shutil.copytree(killed, place)
            for name in names:
                damage(place / "checkpoints" / f"{name}.ckpt")
            reason = why_not_continued(folder / "whole", place)
            lines = output_of(place).count("passed over: ")
            expected = 0 if damage is remove and len(names) == 3 else len(names)
            if reason is None and lines != expected:
                reason = f"{lines} lines say what was passed over"
            wrong += [f"{damage.__name__} {', '.join(names)}: {reason}"] if reason else []
    what = "checkpoints cut, changed, emptied or removed: told in a line each, resumed"
    return Finding(what=what, tried=tried, held=tried - len(wrong), note="; ".join(wrong))


def flipped_bits(folder, flips=FLIPS):
    """Held: the file is refused, or says the same. How many PyTorch loads with another content is in the note."""
    whole, path = folder / "whole" / "checkpoints" / "last.ckpt", folder / "flipped.ckpt"
    truth, content, draws = read_checkpoint(whole), whole.read_bytes(), random.Random(0)
    refused, harmless, silent = 0, 0, 0
    for bit in draws.sample(range(8 * len(content)), flips):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        silent += loads_otherwise(path, truth)
        try:
            harmless += not differing(truth, read_checkpoint(path))
        except CheckpointError:
            refused += 1
    note = f"{refused} refused, {harmless} without effect; PyTorch alone loads {silent} with another content"
    return Finding(what="one bit of a checkpoint flipped", tried=flips, held=refused + harmless, note=note)


def loads_otherwise(path, truth):
    """Whether torch.load gives another content without a word."""
    try:
        return bool(differing(truth, torch.load(path, map_location="cpu", weights_only=True)))
    except Exception:  # whatever unpickling a broken file ends in
        return False


def cost(folder, size=LARGE):
    """Held: what is read is what was written, and to look at every byte before costs less than the writing."""
    path = folder / "large.ckpt"
    tensors = {str(number): torch.rand(size // 40) for number in range(10)}
    checkpoint = {"state_dict": tensors, "config": {}, "iteration": 1}
    works = {
        "torch.save": lambda: torch.save(checkpoint, path),
        "with fsync": lambda: write_checkpoint(checkpoint, path),
        "torch.load": lambda: torch.load(path, map_location="cpu", weights_only=True),
        "CRC-32 alone": lambda: damaged_part(path),
    }
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(3)]
    least = {name: min(times[name] for times in rounds) for name in works}
    held = not differing(checkpoint, read_checkpoint(path)) and least["CRC-32 alone"] <= least["with fsync"]
    path.unlink()
    note = ", ".join(f"{name} {least[name]:.2f} s" for name in works)
    what = f"checkpoint of {size / 1e6:.0f} MB: read as written, checked in less time than written"
    return Finding(what=what, tried=1, held=int(held), note=note)


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
