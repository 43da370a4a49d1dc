import pytest
from run_folders import made

from experiments.errors import UserError
from experiments.run_index import read_runs
from experiments.run_query import Condition, differences, needs_config, ordered_by, require_known, text


@pytest.fixture
def run(tmp_path):
    made(tmp_path / "run", scores={"val/psnr": 23.5}, started="2026-03-04T05:06:07+0000", config={"lr": 1e-4})
    return read_runs([tmp_path], configs=True)[0]


@pytest.mark.parametrize(
    ("word", "holds"),
    [
        ("status=finished", True),
        ("status!=finished", False),
        ("experiment=colorful*", True),
        ("experiment=colorful", False),
        ("seed=0", True),
        ("seed=00", True),
        ("seed!=1", True),
        ("seed=zero", False),
        ("commit=1a2b", True),
        ("commit=2b", False),
        ("data=synthetic", True),
        ("model=colo?ful", True),
        ("model.width=8", True),
        ("model.width=8.0", True),
        ("model.width>7", True),
        ("model.width>8", False),
        ("model.width>=8", True),
        ("lr=0.0001", True),
        ("lr=1e-4", True),
        ("lr<2e-4", True),
        ("val/psnr>23", True),
        ("val/psnr<=23", False),
        ("val/ssim>0", False),  # says nothing of it
        ("val/ssim!=0", False),
        ("clip_norm=null", False),
        ("experiment>3", False),
        ("started>2026-03", True),
        ("started<2026-03", False),
        ("run=*/run", True),
    ],
)
def test_a_condition_is_met_or_not(word, holds, run):
    assert Condition.read(word).holds(run) is holds


@pytest.mark.parametrize(
    ("word", "message"),
    [("status", "cannot read the filter 'status'"), ("seed>one", "> compares numbers, and 'one' is none")],
)
def test_a_filter_that_cannot_be_read_is_one_line(word, message):
    with pytest.raises(UserError, match=message):
        Condition.read(word)


def test_a_key_of_which_no_run_says_anything_is_refused_with_the_nearest(run):
    require_known(["status", "val/psnr", "model.width", "seed", "commit"], [run])
    with pytest.raises(UserError, match="no run has a 'model.widht'; nearest: model.width"):
        require_known(["model.widht"], [run])


def test_config_yaml_is_read_only_for_its_own_keys():
    assert not needs_config(["status", "seed", "val/psnr", "started"]) and needs_config(["seed", "model.width"])


def test_runs_without_a_value_or_with_nan_come_last_in_either_order(tmp_path):
    for name, scores in {"b": 2.0, "nan": float("nan"), "a": 1.0, "c": 3.0}.items():
        made(tmp_path / name, scores={"val/psnr": scores})
    made(tmp_path / "none")
    runs = read_runs([tmp_path])
    names = [run.folder.name for run in ordered_by(runs, "val/psnr")]
    assert names[:3] == ["a", "b", "c"] and set(names[3:]) == {"nan", "none"}
    assert [run.folder.name for run in ordered_by(runs, "val/psnr", reverse=True)][:3] == ["c", "b", "a"]


def test_values_are_shown_as_they_are_typed():
    assert [text(value) for value in (None, True, 1e-4, [1, "a"], 3)] == ["null", "true", "0.0001", "[1,a]", "3"]


def test_two_runs_differ_in_what_they_do_not_share_but_for_the_folder(tmp_path):
    made(tmp_path / "a", scores={"val/psnr": 1.0}, versions={"torch": "2.1", "lightning": "2.6"})
    made(
        tmp_path / "b",
        "failed",
        config={"seed": 1, "lr": 0.1},
        commit="f" * 40,
        versions={"torch": "2.2", "lightning": "2.6"},
    )
    rows = differences(*read_runs([tmp_path], configs=True))
    assert ("config", "seed", 0, 1) in rows and ("config", "lr", None, 0.1) in rows
    assert ("score", "val/psnr", 1.0, None) in rows and ("version", "torch", "2.1", "2.2") in rows
    assert ("run", "commit", "1a2b3c4d" * 5, "f" * 40) in rows and ("run", "status", "finished", "failed") in rows
    assert {key for _, key, _, _ in rows} == {"seed", "lr", "val/psnr", "torch", "commit", "status"}
