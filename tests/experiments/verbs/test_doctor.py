from importlib.metadata import version

from experiments.cli import main
from experiments.verbs.doctor import findings


def test_the_doctor_names_versions_devices_and_wandb(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = dict(findings())
    assert found["torch"] == version("torch") and "cores" in found["processor"]
    assert found["wandb"].startswith("offline")
    assert "MISSING" not in " ".join(found.values())
    assert main(["doctor"]) == 0
    assert version("lightning") in capsys.readouterr().out


def test_the_doctor_says_how_to_get_a_network_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    found = dict(findings())
    assert "download it from https://" in found["network inception"] and str(tmp_path) in found["network inception"]
    assert found["network vgg16"].startswith("vgg16-397923af.pth is not in")
