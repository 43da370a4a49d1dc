import numpy as np
import pytest
import torch

from datamodules.synthetic import Synthetic
from experiments.errors import UserError
from experiments.evaluation import measurable as module
from experiments.evaluation.candidates import load_candidates
from experiments.evaluation.measurable import measurable
from experiments.evaluation.networks import Missing, Network

NETWORKS = {"alexnet": None, "inception": None, "vgg16": None}


def found(*metrics, networks=NETWORKS, prior=None, baseline="grey", **data):
    config = {"protocol": {"metrics": list(metrics), "prior": prior}, "networks": networks}
    dataset = Synthetic(**{"crop": 64, "test_count": 3, "workers": 0} | data).dataset("test")
    return measurable(config, load_candidates([f"baseline/{baseline}"]), dataset)


@pytest.fixture
def asked(monkeypatch):
    """Which networks were looked for; only Inception is there."""
    names = []

    def find(name, setting):
        names.append((name, setting))
        if name != "inception":
            return Missing(f"{name}.pth is nowhere")
        identity = {"weights": "published", "sha256": "0"}
        return Network(name=name, file="i.pth", url="", identity=identity, module=torch.nn.Identity())

    monkeypatch.setattr(module, "find", find)
    return names


def test_without_networks_nothing_is_looked_for(asked):
    assert found("psnr", "auc").metrics == ["psnr", "auc"] and asked == []


def test_a_network_is_looked_for_once_and_its_absence_is_told_of_each_metric(asked):
    result = found("psnr", "lpips", "fid", "kid", "vgg_same_class")
    assert result.metrics == ["psnr", "fid", "kid"]
    assert result.absent == {"lpips": "alexnet.pth is nowhere", "vgg_same_class": "vgg16.pth is nowhere"}
    assert asked == [("alexnet", None), ("inception", None), ("vgg16", None)]
    assert list(result.networks) == ["inception"] and result.identities["inception"]["sha256"] == "0"


@pytest.mark.parametrize(
    ("metric", "data", "reason"),
    [
        ("ms_ssim", {}, "it needs images of at least 176 px; data.crop is 64"),
        ("fid", {"test_count": 1}, "it compares sets; there is one image"),
        ("vgg_top1", {}, "its labels are not ImageNet's 1000 classes"),
        ("scene_top1", {}, "no checkpoint here names scenes"),
    ],
)
def test_a_metric_that_data_or_candidates_do_not_allow_is_absent_with_the_reason(asked, metric, data, reason):
    assert found("psnr", metric, **data).absent == {metric: reason}
    assert asked == []


def test_a_package_that_is_missing_is_named_before_anything_is_scored(asked, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    reason = "it needs sklearn, which is not installed: pip install -e '.[metrics]'"
    assert found("fid", "u_ids").absent == {"u_ids": reason}


def test_a_protocol_of_which_nothing_is_left_is_refused(asked):
    with pytest.raises(UserError, match="no lpips: alexnet.pth is nowhere; no ms_ssim: it needs images"):
        found("lpips", "ms_ssim")


def test_a_counted_prior_is_read_and_a_file_that_is_none_is_one_line(asked, tmp_path):
    counts = np.arange(313.0)
    np.save(tmp_path / "prior.npy", counts)
    prior = found("auc_rebalanced", prior=str(tmp_path / "prior.npy")).prior
    assert prior.numpy() == pytest.approx(counts / counts.sum()) and found("auc_rebalanced").prior is None
    (tmp_path / "none.npy").write_bytes(b"")
    for name, why in {"nowhere.npy": "no file at", "none.npy": "none.npy cannot be read"}.items():
        with pytest.raises(UserError, match=f"^protocol.prior: .*{why}"):
            found("auc_rebalanced", prior=str(tmp_path / name))
