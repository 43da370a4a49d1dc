import json
from subprocess import CompletedProcess

import pytest

from experiments.benchmarks import ddp
from experiments.benchmarks.ddp import benchmark_ddp
from experiments.errors import UserError

TINY = {"context_encoder": ["experiment=context_encoder_synthetic", "model.width=4", "model.bottleneck=16"]}


@pytest.mark.slow
def test_two_processes_average_a_gan_in_two_collectives_and_those_of_its_statistics():
    ours, wrapper = benchmark_ddp(batch=2, rounds=1, papers=TINY, iterations=2)
    assert ours["time_ratio"] == 1 and wrapper["time_ratio"] > 0
    assert ours["collectives"] == 3  # discriminator, generator, running statistics
    assert wrapper["collectives"] > ours["collectives"] and wrapper["values"] > 0


def test_the_ratio_is_to_the_first_strategy(monkeypatch):
    def run(command, **options):
        task = json.loads(command[-1])
        assert task["rounds"] == 3 and "data.batch_size=7" in task["papers"]["glcic"]
        figures = {"seconds": 0.5, "collectives": 2, "values": 10}
        with open(task["output"], "w") as file:
            json.dump({"glcic": {"ours": figures, "other": figures | {"seconds": 0.75}}}, file)
        return CompletedProcess(command, 0)

    monkeypatch.setattr(ddp.subprocess, "run", run)
    ours, other = benchmark_ddp(batch=7, rounds=3)
    assert ours == {
        "paper": "glcic",
        "strategy": "ours",
        "ms_per_iteration": 500.0,
        "time_ratio": 1.0,
        "collectives": 2,
        "values": 10,
    }
    assert (other["strategy"], other["time_ratio"]) == ("other", 1.5)


def test_processes_that_fail_are_heard(monkeypatch):
    monkeypatch.setattr(ddp.subprocess, "run", lambda command, **_: CompletedProcess(command, 1, stderr="no port\n"))
    with pytest.raises(UserError, match="could not be measured:\nno port$"):
        benchmark_ddp()
