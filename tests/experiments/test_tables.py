from rich.table import Table

from experiments.tables import show


def test_a_pipe_gets_a_table_with_no_cell_cut(capsys):
    table = Table("name", "value")
    table.add_row("x" * 100, "y" * 50)
    show(table)
    printed = capsys.readouterr().out
    assert "x" * 100 in printed and "y" * 50 in printed and "\x1b" not in printed
