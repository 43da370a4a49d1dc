"""How the scores of an evaluation came about, in words."""

import json

SHOWN_APART = ("name", "task", "data", "split", "count", "rule", "masks", "networks")  # keys of the protocol
OF_THE_GEOMETRY = ("resize", "squash", "crop", "limit")  # keys of the data settings


def facts(record):
    """[(what, in words)] of scores.json, without what does not apply."""
    protocol = record["protocol"]
    rule, masks = protocol["rule"], protocol["masks"]
    found = [
        ("Images", f"{protocol['count']:,} of the {protocol['split']} split of {protocol['data']}"),
        ("Geometry", geometry(rule)),
        ("Data settings", settings({key: rule[key] for key in rule if key not in OF_THE_GEOMETRY})),
        ("Masks", mask_words(masks) if masks else ""),
        *((key.replace("_", " ").replace("sha256", "SHA-256"), words(protocol[key])) for key in remaining(protocol)),
        *((f"Network {name}", settings(network)) for name, network in protocol["networks"].items()),
        *((f"Checkpoint {row['name']}", settings(row["checkpoint"])) for row in record["rows"] if row["checkpoint"]),
        ("Command", " ".join(record["command"])),
        ("Commit", commit_words(record)),
        ("Versions", settings(record["versions"])),
    ]
    return [(name, text) for name, text in found if text]


def remaining(protocol):
    return [key for key in protocol if key not in SHOWN_APART and protocol[key] not in (None, {}, [])]


def geometry(rule):
    """How a picture came to its size."""
    resize, crop = rule["resize"], rule["crop"]
    size = f"shorter side resized to {resize} pixels"
    if resize is None:
        size = "size as the data has it"
    elif rule["squash"]:
        size = f"both sides resized to {resize} pixels, aspect lost"
    limit = f"; the first {rule['limit']:,} images only" if rule["limit"] else ""
    return f"{size}, then a centre crop of {crop} x {crop}{limit}"


def mask_words(masks):
    kind = masks["_target_"].split(".")[-2]
    own = settings({key: value for key, value in masks.items() if key != "_target_"})
    return f"{kind}: {own}" if own else kind


def settings(values):
    return ", ".join(f"{key} {words(value)}" for key, value in values.items() if value not in (None, {}, []))


def words(value):
    """A setting as text: nested ones as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def commit_words(record):
    if not record["commit"]:
        return ""
    return record["commit"] + ("" if record["clean"] else ", with changes that are not committed")
