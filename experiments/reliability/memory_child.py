"""A process that colours or fills one photograph and says what it took: `python -m` this module and the words."""

import importlib
import json
import sys
import time

import cv2  # noqa: F401  what a verb imports late is not what a photograph takes
import scipy.ndimage  # noqa: F401

from experiments import cli
from experiments.reliability.peak import peak_mib


def main(words):
    """Prints {code, imports, peak: MiB, seconds: of the processor}, as JSON on its last line."""
    importlib.import_module(cli.VERBS[words[0]][0])
    imports, began = peak_mib(), time.process_time()
    code = cli.main(words)
    seconds = time.process_time() - began
    print(json.dumps({"code": code, "imports": imports, "peak": peak_mib(), "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
