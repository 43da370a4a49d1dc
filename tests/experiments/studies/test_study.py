"""A study's trials: entered once, taken once, put back when their worker is gone."""

import json
import multiprocessing
import threading
import time

import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState as State
from postgres import served

from experiments.errors import UserError
from experiments.studies import study as module
from experiments.studies.storage import storage_url
from experiments.studies.study import Study, TrialSpec

DEFINITION = {"kind": "sweep", "overrides": ["seed=1"], "objective": {"score": "val/psnr", "direction": "maximize"}}
RATE = {"model.lr": FloatDistribution(1e-5, 1e-3, log=True)}


def specs(count):
    return [TrialSpec(name=f"t{number}", overrides=[f"seed={number}"], attrs={}) for number in range(count)]


@pytest.fixture(scope="module")
def server():
    with served() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request):
    """None for a file in the study's folder, or the URL of a PostgreSQL server."""
    return request.getfixturevalue("server") if request.param == "postgresql" else None


@pytest.fixture
def folder(tmp_path, request):
    """Another name for each test: those on the server share a database."""
    return tmp_path / f"{abs(hash(request.node.name))}"


def statuses(study):
    return {state.name: state.status for state in study.states()}


def test_a_study_is_opened_by_its_folder_with_its_definition_and_trials(folder, storage):
    Study.create(folder, DEFINITION, storage, specs(2))
    opened = Study.open(folder)
    assert DEFINITION.items() <= opened.definition.items() and "commit" in opened.definition["created"]
    assert DEFINITION.items() <= json.loads((folder / "study.json").read_text()).items()
    state = opened.states()[1]
    assert (state.name, state.status, state.attempts, state.value) == ("t1", "waiting", 1, None)
    assert state.attrs == {"name": "t1", "overrides": ["seed=1"]} and state.run_dir == folder / "runs" / "t1"


def test_a_study_in_a_shared_database_is_opened_without_its_folder(folder, server, tmp_path, monkeypatch):
    Study.create(folder, DEFINITION, server, specs(1), grace=9)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    elsewhere = Study.open(folder.name, server)
    assert elsewhere.folder == module.STUDIES / folder.name and elsewhere.grace == 9
    assert statuses(elsewhere) == {"t0": "waiting"} and (elsewhere.folder / "study.json").exists()


def test_a_folder_may_be_renamed(folder, storage):
    Study.create(folder, DEFINITION, storage, specs(1))
    renamed = folder.rename(folder.with_name(f"renamed{folder.name}"))
    assert statuses(Study.open(renamed)) == {"t0": "waiting"}
    assert statuses(Study.create(renamed, DEFINITION, storage, specs(2))) == {"t0": "waiting", "t1": "waiting"}


def test_creating_it_again_enters_only_the_trials_that_are_missing(folder, storage):
    study = Study.create(folder, DEFINITION, storage, specs(2))
    study.finish(study.take({}), 1.0)
    again = Study.create(folder, DEFINITION, storage, specs(3))
    assert statuses(again) == {"t0": "finished", "t1": "waiting", "t2": "waiting"}


def test_what_failed_waits_again_on_request_with_its_parameters_and_all_its_attempts(folder, storage):
    study = Study.create(folder, DEFINITION, storage, specs(2))
    first, second = study.take(RATE), study.take(RATE)
    study.fail(first, "disk full")
    study.finish(second, 1.0)
    assert study.retry_failed() == 1
    assert statuses(study) == {"t0": "waiting", "t1": "finished"}
    again = study.take(RATE)
    assert again.params == first.params and again.user_attrs["overrides"] == ["seed=0"]
    study.finish(again, 2.0)
    (state, _) = study.states()
    assert (state.status, state.reason, state.value, state.attempts) == ("finished", None, 2.0, 2)
    assert study.retry_failed() == 0


def test_another_definition_under_the_same_name_is_refused_by_its_keys(folder):
    Study.create(folder, DEFINITION)
    with pytest.raises(UserError, match="holds another study; differing: kind, overrides"):
        Study.create(folder, DEFINITION | {"kind": "ablation", "overrides": []})


def test_a_taken_trial_has_its_sampled_parameters_and_keeps_them_when_it_is_given_back(folder, storage):
    study = Study.create(folder, DEFINITION, storage, specs(1))
    trial = study.take(RATE)
    assert 1e-5 <= trial.params["model.lr"] <= 1e-3
    study.give_back(trial)
    assert statuses(study) == {"t0": "waiting"}
    assert study.take(RATE).params == trial.params and study.states()[0].attempts == 2
    assert study.take(RATE) is None


def test_a_spec_fixes_the_parameters_that_it_names(folder):
    study = Study.create(
        folder, DEFINITION, specs=[TrialSpec(name="a", overrides=[], attrs={}, params={"model.lr": 5e-4})]
    )
    assert study.take(RATE).params == {"model.lr": 5e-4}


def test_results_are_told_apart(folder, storage):
    study = Study.create(folder, DEFINITION, storage, specs(3))
    first, second, third = (study.take({}) for _ in range(3))
    study.finish(first, 20.5)
    study.fail(second, "the loss is not finite")
    third.report(12.0, 100)
    study.prune(third)
    assert [(s.status, s.value, s.reason) for s in study.states()] == [
        ("finished", 20.5, None),
        ("failed", None, "the loss is not finite"),
        ("pruned", 12.0, None),
    ]
    assert not study.has_work() and study.states()[0].seconds >= 0


def test_a_trial_without_heartbeats_is_taken_by_another_and_is_not_the_first_ones_any_more(folder, storage):
    study = Study.create(folder, DEFINITION, storage, specs(1), grace=1)
    lost = study.take(RATE)
    assert study.take(RATE) is None and study.is_ours(lost)
    time.sleep(3.1)  # whole seconds are compared
    retried = study.take(RATE)
    assert retried.params == lost.params and not study.is_ours(lost)
    study.finish(lost, 1.0)  # comes too late, and changes nothing
    assert statuses(study) == {"t0": "running"}
    study.finish(retried, 2.0)
    assert [(s.value, s.attempts) for s in study.states()] == [(2.0, 2)]


def test_a_trial_is_not_lost_between_the_two_writes_of_putting_it_back(folder):
    study = Study.create(folder, DEFINITION, specs=specs(1))
    study.optuna.tell(study.take({}), state=State.FAIL)  # and the process dies here
    assert study.take({}).user_attrs["name"] == "t0"


def test_a_trial_whose_training_is_killed_again_and_again_fails(folder, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    study = Study.create(folder, DEFINITION, specs=specs(1))
    for _ in range(3):
        study.abandon(study.take({}))
    assert study.take({}) is None
    assert [(s.status, s.reason) for s in study.states()] == [("failed", "its training was killed 3 times")]


def make(folder, url, start, made):
    start.wait()
    try:
        made.put(len(Study.create(folder, DEFINITION, url, specs(5)).states()))
    except UserError as error:
        made.put(str(error))


def test_processes_that_make_a_study_at_the_same_time_make_one(folder, storage):
    if storage is not None:
        admin = sqlalchemy.create_engine(storage_url(folder, storage), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text("create database empty"))
        storage = storage.replace("/postgres?", "/empty?")
    fork = multiprocessing.get_context("fork")
    start, made = fork.Event(), fork.Queue()
    processes = [fork.Process(target=make, args=(folder, storage, start, made)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    assert [made.get(timeout=60) for _ in processes] == [5] * 4
    for process in processes:
        process.join(60)


def test_a_database_is_locked_for_all_folders_that_use_it(tmp_path):
    shared = tmp_path / "shared.db"
    first, second = (Study.create(tmp_path / place / "s", DEFINITION, f"sqlite:///{shared}") for place in "ab")
    (tmp_path / "link.db").symlink_to(shared)
    third = Study.open(tmp_path / "c" / "s", f"sqlite:///{tmp_path / 'link.db'}")
    entered = []

    def enter(study):
        with study.exclusive():
            entered.append(study.folder)

    threads = [threading.Thread(target=enter, args=[study]) for study in (second, third)]
    with first.exclusive():
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert entered == []
    for thread in threads:
        thread.join()
    assert len(entered) == 2


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_what_is_drawn_depends_on_the_seed_and_the_trials_number_alone(method, tmp_path):
    """Not on the process, nor on which worker takes which trial."""

    def drawn(name, seed, shared):
        folder = tmp_path / name
        made = Study.create(folder, DEFINITION | {"method": method, "seed": seed}, specs=specs(4))
        workers = [Study.open(folder), made] if shared else [made]
        return [workers[number % len(workers)].take(RATE).params["model.lr"] for number in range(4)]

    alone = drawn("alone", 20_260_101, shared=False)
    assert drawn("shared", 20_260_101, shared=True) == alone and len(set(alone)) == 4
    assert not set(drawn("other", 1, shared=False)) & set(alone)


def take_all(folder, url, start, taken):
    study = Study.open(folder, url)
    start.wait()
    while (trial := study.take({})) is not None:
        taken.put(trial.user_attrs["name"])
    taken.put(None)


def test_processes_that_take_at_the_same_time_get_every_trial_once(folder, storage):
    Study.create(folder, DEFINITION, storage, specs(24))
    fork = multiprocessing.get_context("fork")
    start, taken = fork.Event(), fork.Queue()
    processes = [fork.Process(target=take_all, args=(folder, storage, start, taken)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    names, ended = [], 0
    while ended < 3:
        name = taken.get(timeout=60)
        ended, names = (ended + 1, names) if name is None else (ended, [*names, name])
    for process in processes:
        process.join(60)
    assert sorted(names) == sorted(spec.name for spec in specs(24))


def test_a_study_that_is_not_there_is_one_line(tmp_path, server):
    with pytest.raises(UserError, match="no study in nothing or studies/nothing; give the folder of one, or --storage"):
        Study.open("nothing")
    with pytest.raises(UserError, match="no study 'nothing' in postgresql"):
        Study.open("nothing", server)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="study.json cannot be read"):
        Study.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="the study's folder .* cannot be made: Not a directory"):
        Study.create(tmp_path / "file" / "s", DEFINITION)
