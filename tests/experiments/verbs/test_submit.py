import re
import sys
import time
from pathlib import Path

import pytest

from experiments.cli import VERBS
from experiments.errors import UserError
from experiments.verbs import submit


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(VERBS, "sweep", ("experiments.verbs.sweep", ""))


def submitted(capsys, *words):
    submit.run(submit.parser().parse_args(list(words)))
    return capsys.readouterr().out


def command_in(script):
    return script.splitlines()[-1].split(": ", 1)[1].split()


def test_a_training_is_given_its_processes_a_folder_and_resume_auto(capsys):
    out = submitted(
        capsys,
        *["launcher=slurm", "launcher.nodes=2", "launcher.gpus=4", "launcher.time=24:00:00", "--dry-run"],
        *["--", "train", "experiment=quickstart", "seed=1"],
    )
    words = command_in(out)
    assert words[:4] == [sys.executable, "-m", "experiments.cli", "train"]
    assert words[4:8] == ["experiment=quickstart", "seed=1", "trainer.devices=4", "trainer.num_nodes=2"]
    assert re.fullmatch(r"run_dir=runs/quickstart/\d{8}-\d{6}-[0-9a-f]{4}", words[8]) and words[9] == "resume=auto"
    assert f"#SBATCH --output={Path.cwd()}/{words[8].removeprefix('run_dir=')}/logs/" in out
    assert "#SBATCH --time=1440" in out and not Path("runs").exists()


def test_what_the_command_says_itself_is_kept(capsys):
    out = submitted(
        capsys,
        "launcher=slurm",
        "--dry-run",
        "--",
        "train",
        "experiment=quickstart",
        "run_dir=here",
        "trainer.devices=1",
    )
    words = command_in(out)
    assert words.count("trainer.devices=1") == 1 and "run_dir=here" in words and "/here/logs/" in out


def test_any_other_verb_is_passed_on_with_its_options(capsys):
    out = submitted(capsys, "launcher=local", "launcher.jobs=2", "--dry-run", "--", "sweep", "work", "--study", "x y")
    assert out.splitlines() == [f"{sys.executable} -m experiments.cli sweep work --study 'x y' &"] * 2


def test_a_job_here_runs_in_the_background(capsys):
    out = submitted(capsys, "launcher=local", "--logs", "kept", "--", "config", "show", "experiment=quickstart")
    (log,) = (Path(path) for path in re.findall(r"^job \d+: (.+)$", out, re.MULTILINE))
    assert log.parent == Path.cwd() / "kept"
    until = time.monotonic() + 120
    while not log.exists() or "experiment: quickstart\n" not in log.read_text():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-- train", "launcher must be one of slurm, local; got None"),
        ("launcher=pbs -- train", "launcher must be one of slurm, local; got pbs"),
        ("launcher=slurm", "nothing to run; write the command behind --"),
        ("launcher=slurm -- trian", "no verb 'trian'; nearest: train"),
        (
            "launcher=slurm launcher.partiton=x -- train",
            "no setting 'launcher.partiton' of launcher=slurm; nearest: part",
        ),
        ("launcher=local launcher.nodes=2 -- train", "no setting 'launcher.nodes' of launcher=local"),
        ("launcher=slurm nodes=2 -- train", "no setting 'nodes' of launcher=slurm"),
        ("launcher=slurm launcher.nodes=two -- train", "launcher.nodes=two: Value 'two' of type 'str'"),
        ("launcher=slurm launcher.jobs=0 -- train", "launcher.jobs must be at least 1, got 0"),
        ("launcher=slurm launcher.gpus=-1 -- train", "launcher.gpus must be at least 0, got -1"),
        ("launcher=local launcher.gpus=-1 -- train", "launcher.gpus must be at least 0, got -1"),
        ("launcher=slurm launcher.nodes=0 -- train", "launcher.nodes must be at least 1, got 0"),
        (
            "launcher=slurm launcher.time=2 launcher.notice=120 -- train",
            "shorter than launcher.time = 2, got 120 seconds",
        ),
        ("launcher=slurm launcher.jobs=2 -- train", "launcher.jobs=2 would train the same run 2 times"),
        ("launcher=slurm launcher.gpus=8 -- train trainer.devices=4", "trainer.devices=4 does not fit the launcher's"),
        ("launcher=slurm -- train experiment=quickstrt", "experiment 'quickstrt' not found; nearest: quickstart"),
        ("launcher=slurm launcher.time=1d --dry-run -- train experiment=quickstart", "launcher.time must be minutes"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_submitted(words, message):
    with pytest.raises(UserError, match="^[^\n]+$") as error:
        submit.run(submit.parser().parse_args(words.split()))
    assert message in str(error.value) and list(Path().iterdir()) == []


def test_without_submitit_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"submitit: pip install 'chromafill\[slurm\]'"):
        submit.run(submit.parser().parse_args(["launcher=slurm", "--", "train"]))


def test_the_help_names_the_settings_of_each_launcher():
    assert (
        "slurm: jobs, partition, nodes" in submit.parser().description
        and "local: jobs, gpus" in submit.parser().description
    )
