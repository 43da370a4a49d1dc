"""The process that trains one trial: `python -m experiments.studies.trial_process FOLDER train key=value ...`.

It is `chromafill train` with two more properties. It does not outlive the worker that started it, even one that is
killed by SIGKILL: its standard input is a pipe that nobody but the worker holds open, and at the end of that input the
process ends at once. And it holds a lock on its run folder, so that a trial which was taken over from a worker that is
only thought dead is never trained twice at a time: whoever comes second leaves with exit code 75, for the trial to be
tried again later. Both hold for the processes that Lightning starts for more devices, which inherit the pipe and whose
first holds the lock.
"""

import fcntl
import os
import sys
import threading
import time
from pathlib import Path

from experiments.cli import main

LOCK_WAIT = 60.0  # seconds that the folder's last process gets to end
KILLED = 137  # exit code, as a shell reports SIGKILL


def end_with_input():
    """Ends this process when its standard input does. Nothing is cleaned up: its worker is gone."""
    while os.read(0, 1):
        pass
    os._exit(KILLED)


def lock(folder, wait=LOCK_WAIT):
    """The lock's file, to be kept open; None where another process still holds it after `wait` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / "train.lock").open("a")
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > until:
                file.close()
                return None
            time.sleep(0.2)


def run(argv):
    """Exit code of the training. argv: the run folder, unless this is one of Lightning's, and the verb's words."""
    threading.Thread(target=end_with_input, daemon=True).start()
    if "LOCAL_RANK" not in os.environ:
        folder = argv.pop(1)  # of sys.argv: what is left is recorded as the command, and given to Lightning's processes
        held = lock(Path(folder))
        if held is None:
            print(f"another process trains in {folder}", file=sys.stderr)
            return os.EX_TEMPFAIL
    return main(argv[1:])


if __name__ == "__main__":
    sys.exit(run(sys.argv))
