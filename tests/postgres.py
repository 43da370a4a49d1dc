"""A PostgreSQL server of a test's own, in a temporary folder and reached by a socket in it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = [Path(p) for p in os.environ.get("PATH", "").split(":")] + sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def served():
    """URL of an empty database; skips, with the reason, where no server can be had."""
    binaries = next((place for place in reversed(PLACES) if (place / "initdb").exists()), None)
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed")
    user = pwd.getpwuid(os.getuid()).pw_name
    if user == "root":  # which the server refuses to run as
        user = "postgres"
        if user not in {entry.pw_name for entry in pwd.getpwall()} or shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.getuid() == 0:
        shutil.chown(folder, user)

    def server(*words):
        prefix = ["runuser", "-u", user, "--"] if os.getuid() == 0 else []
        done = subprocess.run([*prefix, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    data = folder / "data"
    try:
        server(binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        server(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            server(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
