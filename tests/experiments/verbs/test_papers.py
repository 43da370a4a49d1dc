from experiments.cli import main
from experiments.config_store import papers


def test_every_paper_is_in_the_table(capsys):
    assert main(["papers"]) == 0
    printed = capsys.readouterr().out
    assert all(name[:12] in printed for name in papers())
    assert {"colorful", "context_encoder"} <= set(papers())
