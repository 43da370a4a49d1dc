from experiments.cli import main


def test_the_colour_benchmark_prints_a_row_a_method(capsys):
    assert main(["benchmark", "color", "--size", "8", "--batch", "1", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "encode" in printed and "loss" in printed and "time_ratio" in printed
