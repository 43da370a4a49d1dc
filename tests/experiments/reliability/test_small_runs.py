import pytest

from experiments.compose import build, compose_config, options_of
from experiments.reliability.small_runs import PAPERS, small


def test_every_paper_with_a_synthetic_experiment_has_a_small_run():
    synthetic = {name.removesuffix("_synthetic") for name in options_of("experiment") if name.endswith("_synthetic")}
    assert set(PAPERS) == synthetic


@pytest.mark.parametrize("paper", PAPERS)
def test_a_small_run_composes_and_stays_small(paper):
    config = compose_config(small(paper))
    assert (config["iterations"], config["data"]["crop"] <= 67, config["logger"]) == (8, True, "none")
    network = build(config["model"], "model")
    assert sum(parameter.numel() for parameter in network.parameters()) < 500_000
