"""The files of packed shards: in a local folder, or at a URL, from where each is brought into a local cache once.

https:// and http:// are read with the standard library; s3://, gs://, azure://, r2://, hf:// and local: (a mounted
file system whose files are copied too) by LitData's downloaders, with the credentials that these look for. The cache
lies in `shards` of $CHROMAFILL_CACHE, or of ~/.cache/chromafill, under a name made of the URL and the manifest, so that
data packed anew is not mixed with the old. Nothing is removed from it: with samples in random order every shard is
needed in every epoch.
"""

import hashlib
import importlib.util
import logging
import os
import secrets
import shutil
import time
import urllib.request
from contextlib import contextmanager, suppress
from http.client import HTTPException
from urllib.error import HTTPError

from filelock import FileLock

from datamodules.errors import DataError
from datamodules.index import cache_folder, describe_folder

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
WEB = ("http://", "https://")
CLOUD = ("s3://", "gs://", "azure://", "r2://", "hf://", "local:")
PAUSES = (1.0, 5.0, 15.0)  # seconds before the second, third and fourth attempt to bring a file
TIMEOUT = 60.0  # seconds without a byte
PASSING = (408, 425, 429)  # HTTP codes below 500 that another attempt may not meet


class LocalStore:
    """Files below a folder."""

    def __init__(self, root):
        self.root = os.path.abspath(os.path.expanduser(root.removeprefix("file://")))

    def __str__(self):
        return self.root

    def path(self, name, size=None, sha256=None):
        return os.path.join(self.root, name)

    def manifest(self):
        """The bytes of the manifest. Raises DataError."""
        try:
            with open(self.path(MANIFEST), "rb") as file:
                return file.read()
        except OSError:
            found = describe_folder(self.root)
            raise DataError(
                f"Shards: no {MANIFEST} in {self.root}, which should be a folder made by chromafill data pack; {found}"
            ) from None

    def require(self, files):
        """DataError unless all of {name: size in bytes} are there."""
        for name, size in files.items():
            path = self.path(name)
            found = os.path.getsize(path) if os.path.isfile(path) else None
            if found != size:
                state = "is not there" if found is None else f"has {found:,} bytes"
                raise DataError(f"Shards: {path} should have {size:,} bytes and {state}; copy it again")


class RemoteStore:
    """Files below a URL, brought to a local cache when they are asked for."""

    def __init__(self, url):
        self.url, self.folder = url.rstrip("/"), None

    def __str__(self):
        return self.url

    def manifest(self):
        """The bytes of the manifest as it is now; says which cache the other files come from. Raises DataError."""
        folder = cache_folder() / "shards"
        newest = folder / f".{secrets.token_hex(8)}.json"
        with cache_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                bring(f"{self.url}/{MANIFEST}", str(newest))
                content = newest.read_bytes()
            finally:
                newest.unlink(missing_ok=True)
        key = hashlib.sha256(f"{self.url}\n".encode() + content).hexdigest()[:32]
        self.folder = str(folder / key)
        return content

    def path(self, name, size, sha256):
        """The local path of a file of so many bytes and this SHA-256. Raises DataError where it cannot be brought."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with cache_errors(self.folder):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with FileLock(f"{path}.lock"):  # of all workers and ranks of this machine one brings it
                    if not os.path.exists(path):
                        self.fetch(name, path, size, sha256)
        return path

    def fetch(self, name, path, size, sha256):
        partial = f"{path}.part"
        with suppress(FileNotFoundError):
            os.unlink(partial)  # of a process that was killed
        bring(f"{self.url}/{name}", partial)
        if os.path.getsize(partial) != size:
            raise DataError(
                f"Shards: {self.url}/{name} should have {size:,} bytes and has {os.path.getsize(partial):,}; "
                "was it packed anew, or uploaded in part?"
            )
        if sha256_of(partial) != sha256:
            raise DataError(
                f"Shards: {self.url}/{name} has other bytes (SHA-256) than when it was packed; upload it again"
            )
        synced(partial)
        os.replace(partial, path)

    def require(self, files):
        """DataError unless the disk of the cache has room for what is missing of {name: size in bytes}."""
        missing = sum(size for name, size in files.items() if not os.path.exists(os.path.join(self.folder, name)))
        free = shutil.disk_usage(os.path.dirname(self.folder)).free
        if missing > free:
            raise DataError(
                f"Shards: {missing / 1e9:.1f} GB of {self.url} are to be kept in {self.folder}, whose disk has "
                f"{free / 1e9:.1f} GB free; set CHROMAFILL_CACHE to a folder on another disk"
            )
        if missing:
            log.info("%.2f GB of %s are brought to %s as they are needed", missing / 1e9, self.url, self.folder)


def sha256_of(path):
    """Of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def synced(path):
    """Has the bytes of a file or the names in a folder written to the disk, as a rename is not by itself."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def cache_errors(folder):
    """DataError of whatever keeps the cache from being written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"Shards: cannot write to the cache {folder}: {error.strerror}") from error


def store_of(root):
    """LocalStore of a folder or file:// URL, RemoteStore of any other URL. Raises DataError."""
    if root is None:
        raise DataError("Shards: set data.root to a folder made by chromafill data pack, or to its URL")
    if root.startswith(CLOUD) and importlib.util.find_spec("litdata") is None:
        raise DataError(f"Shards: to read from {root} install litdata: pip install 'chromafill[stream]'")
    if root.startswith((*WEB, *CLOUD)):
        return RemoteStore(root)
    if "://" in root and not root.startswith("file://"):
        raise DataError(f"Shards: cannot read from {root}; expected a folder or one of {' '.join((*WEB, *CLOUD))}")
    return LocalStore(root)


def bring(url, path):
    """Downloads a file to a path that is not there yet. Raises DataError after the last attempt."""
    for pause in (*PAUSES, None):
        try:
            return download(url, path)
        except download_faults(url) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if pause is None or hopeless(error):
                raise DataError(f"Shards: cannot get {url}: {reason}") from error
            log.warning("cannot get %s: %s; trying again", url, reason)
            time.sleep(pause)


def hopeless(error):
    """Whether another attempt would end the same way."""
    if isinstance(error, HTTPError):
        return error.code < 500 and error.code not in PASSING
    return isinstance(error, FileNotFoundError | ImportError)


def download(url, path):
    if url.startswith(WEB):
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, open(path, "wb") as out:
            shutil.copyfileobj(response, out, 1 << 20)
    else:
        from litdata.streaming.downloader import get_downloader

        get_downloader(os.path.dirname(url), os.path.dirname(path), []).download_file(url, path)


def download_faults(url):
    """What a download may raise that is the network's, the storage's or the credentials' fault."""
    faults = (OSError, HTTPException, ImportError, RuntimeError, ValueError)
    if url.startswith(WEB):
        return faults
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.exceptions import BaseError

    return (*faults, BotoCoreError, ClientError, BaseError)
