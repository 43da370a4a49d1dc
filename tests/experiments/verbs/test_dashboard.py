import importlib.util
import json

import pytest

from experiments.errors import UserError
from experiments.verbs import dashboard


def run(*words):
    return dashboard.run(dashboard.parser().parse_args(list(words)))


def test_print_shows_what_would_be_sent_and_sends_nothing(capsys, monkeypatch):
    pytest.importorskip("wandb_workspaces", reason="pip install chromafill[dashboards]")
    monkeypatch.setattr(dashboard, "send", None)
    run("inpainting", "--print")
    shown = json.loads(capsys.readouterr().out)
    assert shown["section"]["panelBankConfig"]["sections"][0]["name"] == "Validation"


def test_logged_in_it_is_sent_to_the_entity_and_project(monkeypatch):
    pytest.importorskip("wandb_workspaces", reason="pip install chromafill[dashboards]")
    sent = []
    monkeypatch.setattr(dashboard, "wandb_mode", lambda: "online")
    monkeypatch.setattr(dashboard, "send", lambda *words: sent.append(words))
    run("inpainting", "--entity", "team", "--project", "other")
    assert sent == [("inpainting", "team", "other")]


def test_what_is_saved_is_a_view_of_the_project(monkeypatch, capsys):
    interface = pytest.importorskip(
        "wandb_workspaces.workspaces.interface", reason="pip install chromafill[dashboards]"
    )
    views = []

    def upsert(view):
        views.append(view)
        return {"upsertView": {"view": {"name": view.name, "id": "x"}}}

    monkeypatch.setattr(interface.internal, "upsert_view2", upsert)
    address = property(lambda made: f"https://wandb.ai/{made.entity}/{made.project}")  # wandb asks the server for it
    monkeypatch.setattr(interface.Workspace, "url", address)
    dashboard.send("colorization", "team", "chromafill")
    assert (views[0].entity, views[0].project, views[0].display_name) == (
        "team",
        "chromafill",
        "chromafill: colorization",
    )
    assert "/team/chromafill" in capsys.readouterr().out


def test_without_a_login_it_is_one_line(monkeypatch):
    pytest.importorskip("wandb_workspaces", reason="pip install chromafill[dashboards]")
    with pytest.raises(
        UserError, match="wandb is not logged in or does not answer; run `wandb login`, or give --print"
    ):
        run("inpainting")


def test_a_server_that_refuses_is_one_line(monkeypatch):
    import wandb

    pytest.importorskip("wandb_workspaces", reason="pip install chromafill[dashboards]")

    def refuse(*words):
        raise wandb.errors.CommError("no such entity")

    monkeypatch.setattr(dashboard, "workspace", refuse)
    with pytest.raises(UserError, match="wandb: no such entity"):
        dashboard.send("inpainting", "team", "chromafill")


def test_a_misspelt_task_is_an_error_with_the_nearest():
    with pytest.raises(UserError, match="no task 'inpaiting'; nearest: inpainting"):
        run("inpaiting")


def test_a_package_that_is_missing_is_one_line_with_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install chromafill\[dashboards\]"):
        run("inpainting", "--print")
