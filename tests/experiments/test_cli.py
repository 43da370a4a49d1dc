import logging
import os
import signal
import subprocess
import sys

import pytest

from datamodules.errors import DataError
from experiments import cli
from experiments.errors import UserError
from lightning_modules.base import NonFiniteError


def test_help_names_every_verb_and_ends_well(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in cli.VERBS)


def test_a_misspelt_verb_is_one_line_and_exit_code_2(capsys):
    assert cli.main(["trian"]) == 2
    assert capsys.readouterr().err == "chromafill: no verb 'trian'; nearest: train\n"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  chromafill {verb}" in capsys.readouterr().out


def test_a_misspelt_option_names_the_nearest(capsys):
    assert cli.main(["data", "preview", "--outptu", "x.png"]) == 2
    assert capsys.readouterr().err == "chromafill data: no option '--outptu'; nearest: --output\n"


def test_a_launcher_in_any_command_submits_it(capsys):
    words = ["ablate", "launcher=local", "ablation=colorful", "launcher.jobs=2", "seeds=3", "--dry-run"]
    assert cli.main(words) == 0
    line = f"{sys.executable} -m experiments.cli ablate ablation=colorful seeds=3 &"
    assert capsys.readouterr().out.splitlines() == [line, line]
    assert cli.main(["train", "launcher=slurm", "launcher.nodes=0x", "experiment=quickstart"]) == 2
    assert capsys.readouterr().err.startswith("chromafill submit: launcher.nodes=0x: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("wrong"), 2), (DataError("wrong"), 2), (NonFiniteError("wrong"), 1), (KeyboardInterrupt(), 130)],
)
def test_errors_that_explain_themselves_are_one_line(error, code, monkeypatch, capsys):
    monkeypatch.delenv("CHROMAFILL_TRACEBACK", raising=False)
    raise_in_doctor(error, monkeypatch)
    assert cli.main(["doctor"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("chromafill doctor: ")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize(("verb", "code"), [("train", 75), ("doctor", None)])
def test_a_signal_while_a_training_is_imported_asks_for_another_try(verb, code, signum):
    child = os.fork()
    if child == 0:
        signal.signal(signum, signal.SIG_DFL)
        cli.importlib.import_module = lambda name: os.kill(os.getpid(), signum)
        cli.main([verb])
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (-signum if code is None else code)


def test_a_defect_keeps_its_traceback(monkeypatch):
    raise_in_doctor(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def raise_in_doctor(error, monkeypatch):
    from experiments.verbs import doctor

    def fail(arguments):
        raise error

    monkeypatch.setattr(doctor, "run", fail)


def test_the_module_runs_as_a_script():
    done = subprocess.run([sys.executable, "-m", "experiments.cli", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "no verb 'nonsense'" in done.stderr


def test_lightning_may_say_that_it_ends_a_run_and_nothing_else():
    cli.quiet()
    log = logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script")
    assert log.isEnabledFor(logging.INFO) and not logging.getLogger("lightning.fabric").isEnabledFor(logging.WARNING)
