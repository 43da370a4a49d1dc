from importlib.metadata import version

from experiments.cli import main
from experiments.doctor import findings


def test_the_doctor_names_versions_devices_and_wandb(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = dict(findings())
    assert found["torch"] == version("torch") and "cores" in found["processor"]
    assert found["wandb"].startswith("offline")
    assert "MISSING" not in " ".join(found.values())
    assert main(["doctor"]) == 0
    assert version("lightning") in capsys.readouterr().out
