"""Reads back what wandb writes of an offline run."""

import json
import struct
import time


def records(folder):
    """Every record of the one offline run below `folder`.

    The file is a LevelDB log: a header of 7 bytes, then blocks of 32 KiB with chunks of (checksum, length, type, data),
    type 1 whole, 2 first, 3 middle, 4 last part of a record.
    """
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record, parts = wandb_internal_pb2.Record.FromString(parts), b""
            yield record


def finished_records(folder):
    """The records once the file holds the last one: wandb's own process may flush it a moment after `finish`."""
    for _ in range(100):
        found = list(records(folder))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError("the wandb file has no exit record after 10 seconds")


def of_kind(found, kind):
    """The payloads of the records of one kind, such as `run`, `alert` or `artifact`."""
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def values(items):
    """{key: value} of the items of a record; nested keys are joined with dots."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(found):
    """The rows that were logged."""
    return [values(row.item) for row in of_kind(found, "history")]


def summary(found):
    """The summary as the run leaves it."""
    last = {}
    for record in of_kind(found, "summary"):
        last |= values(record.update)
    return last


def config(found):
    last = {}
    for record in of_kind(found, "run"):
        last |= values(record.config.update)
    for record in of_kind(found, "config"):
        last |= values(record.update)
    return last
