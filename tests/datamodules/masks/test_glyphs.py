import torch

from datamodules.masks.glyphs import CHARACTERS, DIGIT, LOWER, SPACE, UPPER, atlas, bitmap


def test_numbers_of_the_characters_are_where_the_constants_say():
    assert CHARACTERS[SPACE] == " "
    assert CHARACTERS[LOWER : LOWER + 26] == "abcdefghijklmnopqrstuvwxyz"
    assert CHARACTERS[UPPER : UPPER + 26] == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert CHARACTERS[DIGIT:] == "0123456789"


def test_every_character_but_the_space_has_ink_and_all_look_different():
    drawn = {bitmap(character, 24).numpy().tobytes() for character in CHARACTERS}
    assert len(drawn) == len(CHARACTERS)
    assert all(bitmap(character, 10).any() for character in CHARACTERS[1:])
    assert not bitmap(" ", 24).any()


def test_letters_have_the_shape_of_letters():
    wide, narrow, ring = (bitmap(letter, 32) for letter in "Hlo")
    assert wide.any(0).sum() > 3 * narrow.any(0).sum()  # an l is one upright stroke
    rows = ring[ring.any(1)]
    across = torch.nn.functional.pad(rows[len(rows) // 2].int(), (1, 1))
    assert (across.diff() == 1).sum() == 2  # halfway up, an o has ink on two sides and none between


def test_the_atlas_holds_the_bitmaps_padded_by_an_empty_column():
    bitmaps, advances, heights = atlas((12, 20), torch.device("cpu"))
    assert bitmaps.shape == (2, len(CHARACTERS), 25, int(advances.max()) + 1)
    assert not bitmaps[..., -1].any()
    assert heights.tolist() == [15, 25]
    a = bitmap("a", 20)
    assert advances[1, LOWER] == a.shape[1]
    assert torch.equal(bitmaps[1, LOWER, : a.shape[0], : a.shape[1]], a)


def test_the_atlas_is_drawn_once():
    assert atlas((12, 20), torch.device("cpu"))[0] is atlas((12, 20), torch.device("cpu"))[0]
