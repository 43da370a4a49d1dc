from experiments.cli import main


def test_the_colour_benchmark_prints_a_row_a_method(capsys):
    assert main(["benchmark", "color", "--size", "8", "--batch", "1", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "encode" in printed and "loss" in printed and "time_ratio" in printed


def test_the_daisy_benchmark_prints_a_row_a_method(capsys):
    assert main(["benchmark", "daisy", "--size", "32", "--batch", "1", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert "scikit-image" in printed and "largest_error" in printed


def test_the_data_benchmark_takes_a_data_set_and_refuses_what_it_does_not_know(capsys):
    assert main(["benchmark", "data", "data=synthetic", "--rounds", "1"]) == 2
    assert "Synthetic has none; give data=folder" in capsys.readouterr().err
    assert main(["benchmark", "color", "data=synthetic"]) == 2
    assert "'benchmark color' takes no overrides, got ['data=synthetic']" in capsys.readouterr().err
    assert main(["benchmark", "data", "--device", "cuda"]) == 2
    assert "'benchmark data' takes no device, got cuda" in capsys.readouterr().err
