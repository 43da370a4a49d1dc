import pytest
import torch

from datamodules.masks.glyphs import CHARACTERS, DIGIT, SPACE, bitmap
from datamodules.masks.text_overlay import TextOverlay
from datamodules.randomness import Draws


def draws(count):
    return Draws(0, 0, torch.arange(count), "mask")


def test_level_text_is_made_of_whole_letters_of_the_font():
    mask = TextOverlay(angle=0, size=[20, 20], lines=[1, 1], min_ratio=0)(draws(1), 64, 128)[0, 0].bool()
    rows = mask.any(1).nonzero()
    assert rows.max() - rows.min() < 25  # one line
    columns = mask.any(0).int()
    starts = (columns.diff(prepend=torch.zeros(1, dtype=torch.int32)) == 1).nonzero()[:, 0].tolist()
    ends = (columns.diff(append=torch.zeros(1, dtype=torch.int32)) == -1).nonzero()[:, 0].tolist()
    letters = [bitmap(character, 20) for character in CHARACTERS[1:]]
    known = {letter[letter.any(1)][:, letter.any(0)].numpy().tobytes() for letter in letters}
    pieces = [mask[:, start : end + 1] for start, end in zip(starts, ends, strict=True)]
    pieces = [piece[piece.any(1)[:, None].expand_as(piece)].view(-1, piece.shape[1]) for piece in pieces]
    found = sum(piece.numpy().tobytes() in known for piece in pieces)
    assert len(pieces) >= 3 and found >= 0.7 * len(pieces)  # letters that touch make one piece


def test_the_number_of_lines_is_drawn():
    generator = TextOverlay(angle=0, size=[12, 12], lines=[1, 4], min_ratio=0)
    inked = generator(draws(40), 128, 128)[:, 0].any(2).sum(1)  # rows with ink
    assert inked.min() <= 14 and inked.max() >= 4 * 8


def test_turned_text_differs_and_keeps_its_amount_of_ink():
    level = TextOverlay(angle=0, min_ratio=0)(draws(32), 128, 128)
    turned = TextOverlay(angle=15, min_ratio=0)(draws(32), 128, 128)
    assert not torch.equal(level, turned)
    assert turned.mean() == pytest.approx(level.mean().item(), rel=0.2)


def test_words_have_spaces_between_and_some_are_numbers():
    text = TextOverlay().text(draws(20), 5, 40)
    gap = text == SPACE
    assert 0.08 < gap.float().mean() < 0.2
    assert not gap[..., 0].any() and not (gap[..., 1:] & gap[..., :-1]).any()
    digit = text >= DIGIT
    beside = digit[..., 1:] != digit[..., :-1]
    assert digit.any() and not (beside & ~gap[..., 1:] & ~gap[..., :-1]).any()  # a word is all digits or none


def test_shares_of_ink_stay_within_their_limits():
    share = TextOverlay(lines=[1, 12], min_ratio=0.05, max_ratio=0.08)(draws(32), 96, 96).mean((1, 2, 3))
    assert share.min() >= 0.05 and share.max() <= 0.08


def test_a_full_page_has_more_ink_than_any_min_ratio_that_is_allowed():
    for size in (0.08, 0.3):
        page = TextOverlay(lines=[40, 40], size=[size, size], min_ratio=0, max_ratio=1)(draws(32), 128, 128)
        assert page.mean((1, 2, 3)).min() > 0.08 and page.mean((1, 2, 3)).max() < 0.2


def test_small_images_have_readable_letters():
    assert TextOverlay().sizes(64, 64) == (10,)
    assert TextOverlay().sizes(256, 256) == (20, 23, 26, 29, 32, 35, 38, 41)
    assert TextOverlay(size=[12, 14]).sizes(256, 256) == (12, 13, 14)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"lines": [0, 3]}, "lines must be"),
        ({"size": [0.1, 20]}, "size must be two shares"),
        ({"angle": 200}, "angle must be"),
        ({"min_ratio": 0.6}, "hole shares need"),
        ({"min_ratio": 0.1}, "min_ratio of text can be at most 0.08"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TextOverlay(**settings)
