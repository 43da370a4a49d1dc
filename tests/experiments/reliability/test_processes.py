import pytest
import torch

from experiments.reliability import processes
from experiments.reliability.finding import Effort
from experiments.reliability.rank_deaths import Ending
from experiments.reliability.small_runs import PAPERS


def stub(states):
    """Stands for trainings: (paper, processes) -> what `states` gives."""
    return lambda paper, count, *args, **kwargs: (states(count), {"w": torch.zeros(4)})


def test_a_rank_that_differs_in_one_value_is_found(monkeypatch, tmp_path):
    def three(count):
        return [{"w": torch.ones(4), "n": torch.tensor(3)} for _ in range(count)]

    monkeypatch.setattr(processes, "states", stub(three))
    finding = processes.same_on_every_rank(["glcic", "colorful"], tmp_path)
    assert (finding.tried, finding.held, finding.note) == (4, 4, "")

    def drifted(count):
        ranks = three(count)
        ranks[-1]["w"][2] += 1e-7
        return ranks if count == 4 else three(count)

    monkeypatch.setattr(processes, "states", stub(drifted))
    finding = processes.same_on_every_rank(["glcic", "colorful"], tmp_path)
    assert (finding.tried, finding.held) == (4, 2)
    assert finding.note == "different: glcic with 4, colorful with 4"


@pytest.mark.parametrize("off, held", [(0.001, 1), (0.1, 0)])
def test_two_ranks_are_compared_with_one_on_the_scale_of_the_way_gone(monkeypatch, tmp_path, off, held):
    monkeypatch.setattr(processes, "states", stub(lambda count: [{"w": torch.ones(4) + off * (count - 1)}] * count))
    finding = processes.same_as_one_process(["colorful", "fine_tune"], tmp_path)
    assert (finding.tried, finding.held) == (1, held)
    assert f"colorful {off:.0e}; not tried, as each rank draws its own numbers: fine_tune" in finding.note


def test_papers_that_are_compared_exist():
    assert set(processes.ALONE) < set(PAPERS)


def test_an_image_counted_twice_is_found(monkeypatch, tmp_path):
    def score(overrides, run_dir):
        images, devices = overrides[-2:]  # the last of a key counts
        return {processes.TRIVIAL: 14.0 if devices == "trainer.devices=1" or images == "data.val_count=5" else 14.5}

    monkeypatch.setattr(processes, "train", score)
    finding = processes.each_image_once(processes.UNEVEN, tmp_path)
    assert (finding.tried, finding.held) == (4, 2)
    assert finding.note == "1 on 2: 14.5 for 14.0, 1 on 4: 14.5 for 14.0"


@pytest.mark.parametrize(
    "codes, seconds, left, output, held",
    [
        ([1], 5.0, [], "Planted: planted by a test of faults (raise)", 1),
        ([0], 5.0, [], "Planted: planted by a test of faults (raise)", 0),
        ([1, 0], 5.0, [], "Planted: planted by a test of faults (raise)", 0),
        ([1], 70.0, [], "Planted: planted by a test of faults (raise)", 0),
        ([1], 5.0, [77], "Planted: planted by a test of faults (raise)", 0),
        ([1], 5.0, [], "Planted: planted by a test of faults (raise)" + "\nConnection closed by peer" * 70, 0),
    ],
)
def test_an_end_must_be_soon_whole_not_a_success_and_say_why(monkeypatch, tmp_path, codes, seconds, left, output, held):
    monkeypatch.setattr(processes, "ending_of", lambda *_: Ending(codes, seconds, left, [output]))
    finding = processes.deaths("Lightning", [("raise", 1)], tmp_path)
    assert (finding.tried, finding.held) == (1, held)
    assert held or "raise of rank 1: exit codes" in finding.note


def test_a_process_left_behind_is_found(monkeypatch, tmp_path):
    for left, held in (([], 1), ([77], 0)):
        monkeypatch.setattr(processes, "ending_of", lambda *_, left=left: Ending([-9], 60.0, left, [""]))
        assert processes.orphans(tmp_path).held == held


@pytest.mark.slow
def test_in_several_processes_all_holds(tmp_path):
    for finding in processes.findings(Effort(papers=("context_encoder",)), tmp_path):
        assert finding.held == finding.tried > 0, finding
