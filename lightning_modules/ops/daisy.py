"""DAISY, the dense descriptor of Tola, Lepetit and Fua (PAMI 2010), in scikit-image's variant, for batches on a device.

Each pixel gets histograms of the gradient's direction around itself and around points on rings: (rings * histograms +
1) * orientations numbers, the centre's histogram first, then ring by ring from the inside, each ring from the right
(x = radius, y = 0) towards larger y; within a histogram directions from -pi upwards. As in scikit-image, and not in the
paper, a gradient counts for all directions by a von Mises window, the innermost ring has the centre's sigma, and the
image itself is not smoothed.
"""

import math

import torch

TRUNCATE = 4.0  # standard deviations at which scikit-image cuts its Gaussians
TINY = 1e-10  # added to each entry before the normalisation: a flat region gets a flat descriptor
BLOCK = 32  # rows or columns that one product of matrices in `blur` computes
AT_ONCE = {"cpu": 1}  # images whose maps stay in a processor's cache; elsewhere the whole batch


@torch.no_grad()
def daisy(grey, radius=15, rings=3, histograms=8, orientations=8):
    """grey (B,1,H,W) in [0,1], any H and W -> (B,C,H,W) of sum 1 over C = (rings * histograms + 1) * orientations.

    Equals skimage.feature.daisy(step=1, normalization="l1") of the image mirrored by `radius` on every side: to 1e-6 in
    float32, to 1e-12 in float64. The result has the dtype of `grey`, at least float32, and no gradient.
    """
    points = (rings * histograms + 1) * orientations
    with torch.autocast(grey.device.type, enabled=False):
        grey = grey if grey.dtype == torch.float64 else grey.float()
        descriptor = grey.new_empty(len(grey), points, *grey.shape[-2:])
        at_once = AT_ONCE.get(grey.device.type, len(grey))
        for some, out in zip(grey.split(at_once), descriptor.split(at_once), strict=True):
            energy = orientation_energy(mirrored(some, radius)[:, 0], orientations)  # (b,O,H+2R,W+2R)
            write_normalised(views(energy, radius, rings, histograms), out)
    return descriptor


def mirrored(image, margin):
    """(B,1,H,W) with `margin` more pixels on every side, mirrored at the outermost pixel as often as it takes."""
    for axis in (-2, -1):
        length = image.shape[axis]
        period = max(2 * (length - 1), 1)
        place = torch.arange(-margin, length + margin, device=image.device) % period
        image = image.index_select(axis, torch.minimum(place, period - place) if length > 1 else place)
    return image


def orientation_energy(grey, orientations):
    """Gradient magnitude spread over directions. grey (B,H,W) -> (B,O,H,W). Forward differences, 0 at the far edges."""
    dx, dy = torch.zeros_like(grey), torch.zeros_like(grey)
    dx[..., :-1] = grey.diff(dim=-1)
    dy[..., :-1, :] = grey.diff(dim=-2)
    magnitude = torch.hypot(dx, dy)
    least = orientations * torch.finfo(grey.dtype).tiny  # no kappa divided by it overflows
    scale = (orientations / math.pi) / magnitude.clamp(min=least)  # kappa / magnitude
    dx, dy = dx * scale, dy * scale
    energy = grey.new_empty(len(grey), orientations, *grey.shape[1:])
    for number, plane in enumerate(energy.unbind(1)):
        angle = 2 * math.pi * number / orientations - math.pi
        torch.mul(dx, math.cos(angle), out=plane)
        plane.add_(dy, alpha=math.sin(angle)).exp_().mul_(magnitude)  # exp(kappa * cos(direction - angle))
    return energy


def views(energy, radius, rings, histograms):
    """Of the centre and of every point: the map of histograms (B,O,H,W) and of their sums (B,1,H,W), moved so that
    what belongs to one pixel lies in one place."""
    for ring in range(1, rings + 1):
        distance = radius * ring / rings
        smooth = blur(energy, distance / 2).add_(TINY)
        total = smooth.sum(1, keepdim=True)
        angles = [2 * math.pi * number / histograms for number in range(histograms)]
        places = [(distance * math.sin(angle), distance * math.cos(angle)) for angle in angles]
        for place in [(0, 0)] * (ring == 1) + places:
            yield moved(smooth, radius, *place), moved(total, radius, *place)


def moved(planes, margin, down, right):
    """A view (B,O,H,W) of planes with margins, from a place that is rounded to whole pixels."""
    top, left = margin + round(down), margin + round(right)
    height, width = planes.shape[-2] - 2 * margin, planes.shape[-1] - 2 * margin
    return planes[..., top : top + height, left : left + width]


def blur(planes, sigma):
    """Gaussian blur of (B,C,H,W), as scipy.ndimage.gaussian_filter with its mode `reflect` (edge pixel repeated).

    It is done by products with banded matrices, which run at a processor's full speed.
    """
    height, width = planes.shape[-2:]
    down, across = gaussian_matrix(height, sigma).to(planes), gaussian_matrix(width, sigma).to(planes)
    rows = [down[of, reached] @ planes[..., reached, :] for of, reached in blocks(height, sigma)]
    planes = torch.cat(rows, dim=-2)
    return torch.cat([planes[..., reached] @ across[of, reached].T for of, reached in blocks(width, sigma)], dim=-1)


def reach(sigma):
    return int(TRUNCATE * sigma + 0.5)


def blocks(length, sigma):
    """Slices of at most BLOCK pixels, and of the pixels that a Gaussian around them touches."""
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        yield slice(start, stop), slice(max(start - reach(sigma), 0), min(stop + reach(sigma), length))


def gaussian_matrix(length, sigma):
    """(length, length) float64: row n has the weights that pixel n gives to all, the signal repeated mirror-wise."""
    offsets = torch.arange(-reach(sigma), reach(sigma) + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    place = (torch.arange(length)[:, None] + offsets) % (2 * length)
    weights = torch.zeros(length, length, dtype=torch.float64)
    return weights.scatter_add_(
        1, torch.minimum(place, 2 * length - 1 - place), (kernel / kernel.sum()).repeat(length, 1)
    )


def write_normalised(views, out):
    """Pairs of histograms and their sums -> out (B,C,H,W), histograms over the sum of all."""
    histograms, totals = zip(*views, strict=True)
    share = sum(totals).reciprocal_()
    for histogram, place in zip(histograms, out.chunk(len(histograms), dim=1), strict=True):
        torch.mul(histogram, share, out=place)
