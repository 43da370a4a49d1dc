"""A program that behaves to a worker as a training does: `pretend_training.py FOLDER train key=value ...`.

Settings: iterations, pause (seconds an iteration), score (its slope), name (of the score), and end: finish | fail |
nan | die (by SIGKILL, in the first attempt) | hang (ignoring SIGTERM) | refuse | full (the disk, when the record is
closed) | busy (another process trains there, in the first attempt). Every iteration validates and leaves a checkpoint.
trace.txt has a line for each iteration of each process.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from experiments.studies.trial_process import end_with_input, lock


def train(folder, words):
    settings = {"iterations": "4", "pause": "0", "score": "1", "end": "finish", "name": "val/psnr"}
    settings |= dict(word.split("=", 1) for word in words)
    iterations, end = int(settings["iterations"]), settings["end"]
    if end == "refuse":
        return "model.width must be at least 1, got 0", 2
    if end == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if end == "busy" and not (folder / "tried").exists():
        (folder / "tried").touch()
        return "another process trains here", 75
    checkpoint = folder / "checkpoint"
    first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
    value = float(settings["score"]) * iterations
    for iteration in range(first, iterations + 1):
        time.sleep(float(settings["pause"]))
        value = float(settings["score"]) * iteration
        with (folder / "trace.txt").open("a") as file:
            file.write(f"{os.getpid()} {iteration}\n")
        with (folder / "metrics.csv").open("a") as file:
            file.write(
                ("" if file.tell() else f"iteration,train/loss,{settings['name']}\n") + f"{iteration},0.5,{value}\n"
            )
        checkpoint.write_text(str(iteration))
        if (folder / "prune").exists():
            record(folder, "pruned", iteration=iteration)
            return None, 0
        if end == "die" and first == 1 and iteration == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    if end == "fail":
        return record(folder, "failed", reason="iteration 4: loss is not finite"), 1
    if end == "full":
        return "run.json: No space left on device", 2
    record(folder, "finished", scores={settings["name"]: float("nan") if end == "nan" else value})
    return None, 0


def record(folder, status, **more):
    (folder / "run.json").write_text(json.dumps({"status": status} | more))


def main(folder, words):
    threading.Thread(target=end_with_input, daemon=True).start()
    held = lock(folder)
    said, code = train(folder, words)
    held.close()
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[3:]))
