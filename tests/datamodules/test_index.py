import os
import pickle
import time

import numpy as np
import pytest

from datamodules import index
from datamodules.errors import DataError
from datamodules.index import describe_folder, index_folder, index_list, load, pack, save, stable_share


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CHROMAFILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    """A folder of images whose time stamps lie far enough back to be trusted."""
    for name in ("b/2.jpg", "b/10.PNG", "a.jpeg", "a/x.webp", "a-b/y.tif", "notes.txt", "b/.hidden.jpg", ".git/z.jpg"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    age(tmp_path / "root")
    return tmp_path / "root"


def age(root, seconds=60):
    """Sets back the time stamps of a folder and all below it."""
    then = time.time() - seconds
    for folder, _, files in os.walk(root):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def scans(monkeypatch):
    """The folders that were scanned, in a list that grows."""
    roots, walk = [], index.walk
    monkeypatch.setattr(index, "walk", lambda root, stamps: roots.append(root) or walk(root, stamps))
    return roots


def test_images_are_found_at_any_depth_in_the_order_of_their_paths(root):
    paths = list(index_folder(root))
    assert paths == ["a-b/y.tif", "a.jpeg", "a/x.webp", "b/10.PNG", "b/2.jpg"] == sorted(paths)


def test_the_second_time_nothing_is_scanned(root, scans):
    first = list(index_folder(root))
    assert list(index_folder(root)) == first and len(scans) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: (root / "b/3.jpg").touch(), 6),
        (lambda root: (root / "b/2.jpg").unlink(), 4),
        (lambda root: (root / "b/2.jpg").rename(root / "b/two.jpg"), 5),
        (lambda root: (root / "b").rename(root / "c"), 5),
        (lambda root: (root / "a/deep/er").mkdir(parents=True) or (root / "a/deep/er/q.jpg").touch(), 6),
    ],
)
def test_added_removed_and_renamed_images_are_noticed(root, change, expected):
    index_folder(root)
    change(root)
    assert len(index_folder(root)) == expected
    assert all((root / path).exists() for path in index_folder(root))


def test_a_file_added_within_the_coarse_step_of_a_time_stamp_is_noticed(root, scans):
    before = os.stat(root / "b")
    os.utime(root / "b")  # a folder that was changed a moment ago
    young = os.stat(root / "b").st_mtime_ns
    assert len(index_folder(root)) == 5
    (root / "b/3.jpg").touch()
    os.utime(root / "b", ns=(young, young))  # the clock of the file system has not moved
    assert len(index_folder(root)) == 6
    os.utime(root / "b", ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert len(index_folder(root)) == len(index_folder(root)) == 6 and len(scans) == 3


def test_options_are_indexed_apart(root):
    kept = index_folder(root, keep=lambda path: path.startswith("b/"), options="b")
    labelled = index_folder(root, label=len, options="length")
    assert list(kept) == ["b/10.PNG", "b/2.jpg"] and kept.labels is None
    assert labelled.labels.tolist() == [len(path) for path in labelled]
    assert len(index_folder(root)) == 5
    again = index_folder(root, label=lambda path: pytest.fail("labelled again"), options="length")
    assert again.labels.dtype == np.int32 and again.labels.tolist() == labelled.labels.tolist()


def test_links_to_folders_are_followed_but_not_in_circles(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/e.jpg").touch()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b/up").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "broken.jpg").symlink_to("nowhere.jpg")
    paths = list(index_folder(root))
    assert "linked/e.jpg" in paths and "broken.jpg" in paths  # reading it will say that it is broken
    assert len(paths) == 7


def test_two_links_to_one_folder_are_two_folders(root):
    (root / "c").symlink_to("b")
    assert [path for path in index_folder(root) if path.startswith("c/")] == ["c/10.PNG", "c/2.jpg"]


def test_names_that_are_not_utf8_come_back_as_they_are(root):
    with open(os.fsencode(root) + b"/caf\xe9.jpg", "wb"):
        pass
    (root / "写真.jpg").touch()
    paths = list(index_folder(root))
    assert b"caf\xe9.jpg" in [os.fsencode(path) for path in paths] and "写真.jpg" in paths
    assert all(os.path.exists(os.path.join(root, path)) for path in paths)


def test_a_damaged_cache_is_replaced(root, cache):
    expected = list(index_folder(root))
    (file,) = cache.iterdir()
    for damage in (b"", b"rubbish", file.read_bytes()[:70], file.read_bytes()[:-5]):
        file.write_bytes(damage)
        assert list(index_folder(root)) == expected
    assert list(cache.iterdir()) == [file]


def test_without_a_cache_folder_it_works_and_says_so(root, monkeypatch, caplog):
    (root / "notes.txt").write_text("a file where the cache folder should be")
    monkeypatch.setenv("CHROMAFILL_CACHE", str(root / "notes.txt"))
    paths = index_folder(root)
    assert len(paths) == 5 and "the index of" in caplog.text and "is not kept" in caplog.text
    copy = pickle.loads(pickle.dumps(paths))
    assert list(copy) == list(paths)


def test_the_cache_lies_in_the_home_folder_unless_told_otherwise(root, tmp_path, monkeypatch):
    monkeypatch.delenv("CHROMAFILL_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    index_folder(root)
    assert len(list((tmp_path / "home/.cache/chromafill").iterdir())) == 1


def test_a_million_paths_cost_little_more_than_their_characters_and_pickle_to_a_file_name(tmp_path):
    line = "n01440764/n01440764_{:07}.JPEG"
    (tmp_path / "list.txt").write_text("\n".join(line.format(i) for i in range(1_000_000)))
    paths = index_list(tmp_path / "list.txt", lambda line: (line, 1), options="million")
    assert len(paths) == 1_000_000 and paths[999_999] == line.format(999_999) and paths[7] == line.format(7)
    assert paths.nbytes == 1_000_000 * (len(paths[0]) + 8 + 4) + 8  # characters, offsets, labels
    assert not paths.names.flags.owndata and not paths.names.flags.writeable  # mapped, and so shared by all workers
    pickled = pickle.dumps(paths)
    assert len(pickled) < 500
    copy = pickle.loads(pickled)
    assert copy[123_456] == paths[123_456] and copy.labels[5] == 1


def test_a_pickled_index_does_not_open_another_one(root):
    paths = index_folder(root)
    pickled = pickle.dumps(paths)
    (root / "b/3.jpg").touch()
    index_folder(root)
    assert len(paths) == 5 and paths[4] == "b/2.jpg"  # the process that has it open keeps it
    with pytest.raises(DataError, match="changed while the run was starting"):
        pickle.loads(pickled)


def test_a_list_is_read_in_its_order_and_again_when_it_changes(tmp_path):
    file = tmp_path / "list.txt"

    def parse(line):
        name, label = line.split()
        return None if name == "skip.jpg" else (name, int(label))

    file.write_bytes(b"\xef\xbb\xbfz.jpg 3\r\n\r\nskip.jpg 0\na.jpg 1\n")
    age(tmp_path)
    paths = index_list(file, parse)
    assert list(paths) == ["z.jpg", "a.jpg"] and paths.labels.tolist() == [3, 1]
    file.write_text("b.jpg 7\n")
    assert list(index_list(file, parse)) == ["b.jpg"]


def test_files_that_the_labels_depend_on_are_watched(root, tmp_path):
    truth = tmp_path / "truth.txt"
    for number in (1, 22):
        truth.write_text(str(number))
        paths = index_folder(root, label=lambda path: int(truth.read_text()), options=[], also=[truth])
        assert set(paths.labels.tolist()) == {number}


def test_an_empty_folder_and_an_empty_list_give_empty_indices(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").touch()
    assert list(index_folder(tmp_path / "empty")) == list(index_list(tmp_path / "empty.txt", str)) == []
    assert list(index_folder(tmp_path / "empty")) == []  # from the cache


def test_a_position_outside_is_refused(root):
    paths = index_folder(root)
    for position in (-1, 5):
        with pytest.raises(IndexError, match=f"position {position} of 5 paths"):
            paths[position]


def test_a_missing_list_or_folder_is_named_with_what_is_there(root):
    with pytest.raises(DataError, match=r"no list .*/train.txt; found 1 .jpeg, 1 .txt, 4 folders"):
        index_list(root / "train.txt", str)
    with pytest.raises(DataError, match="cannot list .*nowhere.*No such file"):
        index_folder(root / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root lists folders without permission")
def test_a_folder_that_cannot_be_listed_is_not_passed_over(root):
    (root / "b").chmod(0)
    with pytest.raises(DataError, match="cannot list .*/b.*Permission denied"):
        index_folder(root)


def test_what_a_folder_holds_is_counted_by_extension(root, tmp_path):
    for name in ("a.zip", "b.zip", "c.ZIP", "Makefile"):
        (root / name).touch()
    assert describe_folder(root) == "found 3 .zip, 1 without extension, 1 .jpeg, 1 .txt, 4 folders"
    for letter in "klmnopq":
        (tmp_path / f"x.{letter}").touch()
    assert "other kinds of files" in describe_folder(tmp_path)
    assert describe_folder(root / "a/x.webp").endswith("Not a directory")
    (tmp_path / "empty").mkdir()
    assert describe_folder(tmp_path / "empty").endswith("is empty")


def test_the_share_of_a_path_is_stable_and_uniform():
    shares = np.array([stable_share(f"folder/{i}.jpg") for i in range(10_000)])
    counts = np.histogram(shares, bins=10, range=(0, 1))[0]
    assert counts.sum() == 10_000 and abs(counts - 1000).max() < 150  # five standard deviations
    # of blake2b, from this implementation: no release may move images between splits
    assert stable_share("a.jpg") == pytest.approx(0.42343881, abs=1e-8)


def test_places_inside_larger_files_are_remembered_with_the_paths(tmp_path):
    paths = pack((f"{i}.jpg", i, (i // 2, 512 * i, 100 + i)) for i in range(5))
    assert paths.places.tolist()[3] == [1, 1536, 103] and paths.nbytes == 5 * (5 + 8 + 24 + 4) + 8
    save(str(tmp_path / "a.index"), paths, {}, 0)
    loaded = load(str(tmp_path / "a.index"), trust=True)
    assert list(loaded) == list(paths) and loaded.labels.tolist() == list(range(5))
    assert loaded.places.tolist() == paths.places.tolist() and not loaded.places.flags.owndata
    assert pickle.loads(pickle.dumps(loaded)).places.tolist() == paths.places.tolist()
    assert pickle.loads(pickle.dumps(paths)).places.tolist() == paths.places.tolist()


def test_the_same_paths_make_the_same_file(tmp_path):
    for name in ("a", "b"):
        save(str(tmp_path / name), pack([("x.jpg", 3), ("y.jpg", 4)]), {}, 0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
