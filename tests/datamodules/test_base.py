import logging
from itertools import islice

import pytest
import torch

from datamodules.base import DataConfig, ImageDataModule, ImageDataset, Source, printable
from datamodules.errors import DataError, UnreadableImage
from datamodules.view import shown


class Numbered(Source):
    """Images whose every pixel says where it is: red is the row, green the column; some cannot be read."""

    def __init__(self, count=6, height=20, width=30, bad=()):
        self.count, self.height, self.width, self.bad = count, height, width, bad

    def __len__(self):
        return self.count

    def name(self, position):
        return f"image {position}"

    def read(self, position, view=None):
        if position in self.bad:
            raise UnreadableImage(self.name(position), "made to fail")
        rows = torch.arange(self.height, dtype=torch.uint8)[:, None].expand(-1, self.width)
        columns = torch.arange(self.width, dtype=torch.uint8)[None].expand(self.height, -1)
        image = torch.stack([rows, columns, torch.full_like(rows, position)])
        return shown({"image": image, "label": position % 3, "semantic": rows.clone()}, view)


class NumberedData(ImageDataModule):
    bad = ()

    def source(self, split):
        return Numbered(0 if split == "test" else 6, bad=self.bad)


def test_validation_crops_the_centre():
    item = ImageDataset(Numbered(), DataConfig(crop=8), seed=0, train=False)[0, 2]
    assert item["image"].shape == (3, 8, 8)
    assert item["image"][0, 0, 0] == (20 - 8) // 2 and item["image"][1, 0, 0] == (30 - 8) // 2
    assert (item["index"], item["label"], item["replaced"]) == (2, 2, -1)


def test_a_training_crop_is_a_function_of_seed_epoch_and_index_and_covers_the_image():
    dataset = ImageDataset(Numbered(), DataConfig(crop=8), seed=0, train=True)
    assert torch.equal(dataset[3, 1]["image"], dataset[3, 1]["image"])
    corners = {tuple(dataset[epoch, 1]["image"][0:2, 0, 0].tolist()) for epoch in range(60)}
    assert len(corners) > 40
    tops = {top for top, _ in corners}
    assert min(tops) == 0 and max(tops) == 12  # 20 rows, crop of 8


def test_flips_hit_about_half_and_mirror_image_and_label_map_together():
    dataset = ImageDataset(Numbered(), DataConfig(crop=8), seed=0, train=True)
    items = [dataset[epoch, 0] for epoch in range(200)]
    flipped = [item for item in items if item["image"][1, 0, 0] > item["image"][1, 0, -1]]
    assert 70 < len(flipped) < 130
    assert all(torch.equal(item["image"][0], item["semantic"]) for item in items)


def test_training_draws_the_shorter_side_from_a_range_and_validation_takes_its_lower_end():
    config = DataConfig(crop=8, resize=10, resize_most=13, flip=False)
    dataset = ImageDataset(Numbered(), config, seed=0, train=True)
    sides = [dataset.view(epoch, 1).shorter for epoch in range(60)]
    assert set(sides) == {10, 11, 12, 13}
    for epoch, side in enumerate(sides):  # rows are numbered, so that a step between rows is 20 / side
        step = dataset[epoch, 1]["image"][0].float().diff(dim=0).mean().item()
        assert step == pytest.approx(20 / side, abs=0.15)
    assert dataset.view(5, 1) == dataset.view(5, 1)
    assert ImageDataset(Numbered(), config, seed=0, train=False).view(5, 1).shorter == 10


def test_an_image_smaller_than_the_crop_is_enlarged_to_it():
    item = ImageDataset(Numbered(height=5, width=7), DataConfig(crop=8), seed=0, train=True)[0, 0]
    assert item["image"].shape == (3, 8, 8) and item["semantic"].shape == (8, 8)


def test_training_replaces_an_unreadable_image_and_names_it_once(caplog):
    data = NumberedData(crop=8, batch_size=6, workers=0)
    data.bad, data.iterations = (2, 3), 2
    with caplog.at_level(logging.WARNING):
        for batch in data.train_dataloader():
            data.on_before_batch_transfer(batch)
            assert set(batch["index"].tolist()) == {0, 1, 4, 5}
            assert sorted(batch["replaced"][batch["replaced"] >= 0].tolist()) == [2, 3]
    assert data.unreadable == {"image 2": "made to fail", "image 3": "made to fail"}
    assert len([r for r in caplog.records if "image 2: made to fail" in r.getMessage()]) == 1


def test_evaluation_raises_on_an_unreadable_image():
    data = NumberedData(crop=8, workers=0)
    data.bad = (4,)
    with pytest.raises(UnreadableImage, match="image 4: made to fail"):
        list(data.val_dataloader())


def test_a_set_without_one_readable_image_is_an_error():
    data = NumberedData(crop=8, workers=0)
    data.bad = range(6)
    with pytest.raises(DataError, match="6 images in a row cannot be read, the first is image 1"):
        data.dataset("train", train=True)[0, 1]


def test_an_empty_split_is_an_error():
    with pytest.raises(DataError, match="the split 'test' is empty"):
        NumberedData(crop=8).dataset("test")


def test_limit_takes_the_first_images():
    assert len(NumberedData(crop=8, limit=4).dataset("train")) == 4


class Half:
    """Hole where a draw says so: enough to see which randomness a batch gets."""

    def __call__(self, draws, height, width):
        return (draws.uniform(1, height, width) < 0.5).float()


def masks_by_sample(batch_size, workers=0):
    data = NumberedData(crop=8, batch_size=batch_size, workers=workers, masks=Half())
    data.iterations = 12 // batch_size
    masks = {}
    for batch in data.train_dataloader():
        batch = data.on_after_batch_transfer(batch)
        assert batch["image"].dtype == torch.float32 and batch["image"].max() <= 1
        for epoch, index, mask in zip(batch["epoch"].tolist(), batch["index"].tolist(), batch["mask"], strict=True):
            masks[epoch, index] = mask
    return masks


def test_masks_do_not_depend_on_batch_size_or_workers():
    ones, threes = masks_by_sample(1), masks_by_sample(3, workers=1)
    assert ones.keys() == threes.keys() and len(ones) == 12
    assert all(torch.equal(ones[key], threes[key]) for key in ones)
    assert not torch.equal(ones[0, 1], ones[1, 1]) and not torch.equal(ones[0, 1], ones[0, 2])


@pytest.mark.parametrize("batch_size", [3, 12])
def test_the_initial_batches_are_what_training_begins_with_whatever_its_batch_size(batch_size):
    data = NumberedData(crop=8, batch_size=batch_size, workers=0, masks=Half())
    data.iterations = 24 // batch_size
    initial = list(islice(data.initial_batches(), 3))  # 24 samples of a data set of 6
    training = [data.on_after_batch_transfer(batch) for batch in data.train_dataloader()]
    assert [len(batch["image"]) for batch in initial] == [8] * 3 and initial[0].keys() == training[0].keys()
    for batch in (*initial, *training):
        batch["draws"] = batch["draws"].fold("a choice").uniform(2)
    for key in initial[0]:
        assert torch.cat([batch[key] for batch in initial]).equal(torch.cat([batch[key] for batch in training])), key


def test_a_rank_without_an_image_validates_the_first_again(monkeypatch):
    shares = []
    for rank in range(3):
        data = NumberedData(crop=8, batch_size=2, workers=0, limit=2)
        monkeypatch.setattr(data, "ranks", lambda rank=rank: (rank, 3))
        shares.append([index for batch in data.val_dataloader() for index in batch["index"].tolist()])
    assert shares == [[0], [1], [0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": 0}, "data.crop must be at least 1, got 0"),
        ({"batch_size": 0}, "data.batch_size must be at least 1, got 0"),
        ({"workers": -1}, "data.workers must be 0 or more, got -1"),
        ({"resize": 64, "crop": 128}, "data.resize must be at least data.crop = 128, got 64"),
        ({"squash": True}, "data.squash needs data.resize"),
        ({"resize_most": 300}, "begins with data.resize; got 300 and None"),
        ({"resize": 300, "resize_most": 299}, "begins with data.resize; got 299 and 300"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**settings)


def test_a_file_name_that_is_no_text_can_be_written():
    assert printable(b"a\xff\xc3\xa9.png".decode(errors="surrogateescape")) == "a\ufffdé.png"
