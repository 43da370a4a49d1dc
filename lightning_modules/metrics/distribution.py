"""Distances between two sets of images, by features that a network has of them.

real (N,D), fake (M,D): a tensor or an array each, D = 2048 for Inception's. Computed in float64.
"""

import numpy as np
import torch
from torchmetrics.image.kid import poly_mmd

SUBSETS = 100  # of KID
SUBSET_SIZE = 1000  # images


def as_features(real, fake):
    """Both as float64 on the CPU. ValueError unless each has two images or more, and both the same features."""
    real, fake = (torch.as_tensor(features, dtype=torch.float64).cpu() for features in (real, fake))
    if real.dim() != 2 or fake.dim() != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 2:
        raise ValueError(
            "features must be (N,D) and (M,D) of at least two images each; "
            f"got {tuple(real.shape)} and {tuple(fake.shape)}"
        )
    return real, fake


def fid(real, fake):
    """Frechet distance of the Gaussians that have the sets' means and covariances (Heusel 2017, Eq. 6).

    A covariance of fewer than D + 1 = 2,049 images has not full rank, and the distance is biased upwards at any number,
    more so the fewer there are: give the number of images beside it, and compare only where it is the same.

    tr sqrt(S1 S2) is the sum of the singular values of R1 R2^T, where R^T R = S. This needs no root of a matrix and has
    no imaginary part to drop; 50 images against themselves have 0, and -9e-5 by the eigenvalues of S1 S2.
    """
    real, fake = as_features(real, fake)
    root, fake_root = covariance_root(real), covariance_root(fake)
    cross = torch.linalg.svdvals(root @ fake_root.T).sum()
    means = (real.mean(0) - fake.mean(0)).square().sum()
    return (means + root.square().sum() + fake_root.square().sum() - 2 * cross).item()


def covariance_root(features):
    """R (min(N,D),D) with R^T R the unbiased covariance."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R


def kid(real, fake, seed):
    """(mean, standard deviation) of Kernel Inception Distance over 100 random subsets of 1,000 images (Binkowski 2018).

    The unbiased squared MMD of the kernel (x y / D + 1)^3, which may be negative; printed times 1,000 by many. Sets of
    at most 1,000 images are taken whole, once, and the deviation is NaN. Leaves the global generators alone.
    """
    real, fake = as_features(real, fake)
    size = min(SUBSET_SIZE, len(real), len(fake))
    generator = torch.Generator().manual_seed(seed)

    def subset(features):
        return features[torch.randperm(len(features), generator=generator)[:size]]

    if len(real) == len(fake) == size:
        return poly_mmd(real, fake).item(), float("nan")
    values = torch.stack([poly_mmd(subset(real), subset(fake)) for _ in range(SUBSETS)])
    return values.mean().item(), values.std(correction=0).item()


def svm_sides(real, fake):
    """(real (N,), fake (N,)), signed distances from the plane that separates the sets, positive on the real side. A
    linear SVM with the settings of CoModGAN's official code. ModuleNotFoundError without scikit-learn."""
    try:
        from sklearn.svm import LinearSVC
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "U-IDS and P-IDS need scikit-learn, which is not installed: pip install -e '.[metrics]'"
        ) from None
    if len(real) != len(fake):
        raise ValueError(f"P-IDS needs a real image for each fake one; got {len(real)} and {len(fake)}")
    real, fake = as_features(real, fake)
    features = torch.cat([real, fake]).numpy()
    labels = np.repeat([1, 0], len(real))
    svm = LinearSVC(dual=False, random_state=0).fit(features, labels)  # a seed that is not used, but None draws one
    return np.split(svm.decision_function(features), 2)


def u_ids(real_side, fake_side):
    """Unpaired inception discriminative score (CoModGAN, Zhao 2021), of `svm_sides`: how often the SVM errs on what it
    learned from. 0.5 is the best, an exact copy. With not many more images than the D + 1 numbers that it learns it
    tells any two sets apart, and the score is near 0."""
    return float(((real_side <= 0).sum() + (fake_side > 0).sum()) / (len(real_side) + len(fake_side)))


def p_ids(real_side, fake_side):
    """Paired inception discriminative score (CoModGAN, Zhao 2021), of `svm_sides`: how often the SVM finds a fake more
    real than the photograph in its row. A tie is no win, as in the official code: an exact copy has 0."""
    return float((fake_side > real_side).mean())
