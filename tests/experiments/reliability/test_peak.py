from types import SimpleNamespace

import pytest

from experiments.reliability import peak


def test_it_is_what_the_kernel_says(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "STATUS", tmp_path / "status")
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t  4096 kB\nVmRSS:\t 1 kB\n")
    assert peak.peak_mib() == 4.0


def test_without_proc_it_is_the_systems_own_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "STATUS", tmp_path / "none")
    monkeypatch.setattr(peak.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=2048))
    assert peak.peak_mib() == 2.0


@pytest.mark.skipif(not peak.STATUS.exists(), reason="no /proc here")
def test_of_this_process_it_is_at_least_what_it_holds_now():
    pages = int(peak.STATUS.with_name("statm").read_text().split()[1])
    assert peak.peak_mib() >= pages * 4096 / 2**20 > 100
