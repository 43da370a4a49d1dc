import pytest

from experiments.evaluation.protocol_words import facts, geometry, mask_words

RULE = {"resize": None, "squash": False, "crop": 64, "limit": None}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "size as the data has it, then a centre crop of 64 x 64"),
        ({"resize": 80}, "shorter side resized to 80 pixels, then a centre crop of 64 x 64"),
        ({"resize": 80, "squash": True}, "both sides resized to 80 pixels, aspect lost, then a centre crop of 64 x 64"),
        ({"limit": 5000}, "size as the data has it, then a centre crop of 64 x 64; the first 5,000 images only"),
    ],
)
def test_geometry_is_said_in_words(rule, words):
    assert geometry(RULE | rule) == words


def test_masks_are_named_with_their_settings():
    centre = {"_target_": "datamodules.masks.centre.Centre"}
    assert mask_words(centre) == "centre"
    assert mask_words(centre | {"side": 0.5, "part": None}) == "centre: side 0.5"
    nested = {"_target_": "datamodules.masks.inset.Inset", "part": centre}
    assert mask_words(nested) == 'inset: part {"_target_": "datamodules.masks.centre.Centre"}'


def test_what_does_not_apply_is_left_out():
    record = {
        "protocol": {"count": 12_000, "split": "val", "data": "places", "rule": RULE, "masks": None, "networks": {}}
        | {"masks_sha256": None, "images_sha256": "ab", "decoder": {}, "seed": 0, "quantise": False},
        "rows": [{"name": "baseline/grey", "checkpoint": None}],
        "command": ["chromafill", "evaluate"],
        "commit": None,
        "clean": False,
        "versions": {"torch": "2.14"},
    }
    assert facts(record) == [
        ("Images", "12,000 of the val split of places"),
        ("Geometry", "size as the data has it, then a centre crop of 64 x 64"),
        ("images SHA-256", "ab"),
        ("seed", "0"),
        ("quantise", "false"),
        ("Command", "chromafill evaluate"),
        ("Versions", "torch 2.14"),
    ]
    words = dict(facts(record | {"commit": "0123", "clean": True}))
    assert words["Commit"] == "0123"
