"""Files of PyTorch that claim to hold more than they do."""

import mmap
import os
import zipfile

GROWS = b"bytearray"  # the one function that PyTorch's safe reader calls which takes as much memory as it is told to


def is_inflated(path):
    """Whether a file would take more memory than its own size when it is loaded. PyTorch writes none such and reads
    them: parts that are compressed, or the same bytes several times, and pickles that ask for empty arrays."""
    size = os.path.getsize(path)
    if size == 0:
        return False
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(GROWS) >= 0
    with zipfile.ZipFile(path) as parts:
        if sum(part.file_size for part in parts.infolist()) > size:
            return True
        return any(GROWS in parts.read(name) for name in parts.namelist() if name.endswith(".pkl"))
