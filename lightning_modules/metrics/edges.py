"""How far the edges of a prediction are those of the truth, as EdgeConnect (Nazeri 2019) measures its edge generator.

Edge maps are (B,1,H,W), 1 on an edge; of probabilities those above 0.5 are edges. mask (B,1,H,W), 1 = hole.
"""

import numpy as np
import torch

from lightning_modules.ops.masking import require_mask


def canny_edges(image, sigma=2):
    """RGB in [0,1] (B,3,H,W) -> edge map of Canny's detector in its dtype, with scikit-image's thresholds 0.1 and 0.2.

    EdgeConnect detects edges of the grey image with sigma = 2 and these thresholds. On the CPU, one image at a time.
    """
    from skimage.color import rgb2gray
    from skimage.feature import canny

    pictures = image.movedim(1, -1).cpu().numpy()
    edges = np.stack([canny(rgb2gray(picture), sigma=sigma) for picture in pictures])
    return torch.from_numpy(edges)[:, None].to(image)


def edge_precision_recall(pred_edges, true_edges, mask=None):
    """(precision, recall), (B,) float64 each, pixel by pixel: an edge that is one pixel off is wrong.

    mask: the hole, outside of which nothing counts. The empty cases are those of the official EdgeAccuracy: both are 1
    where neither map has an edge, which an empty hole is too, and both are 0 where one of them has none. The official
    code adds up a batch before it divides; this divides per image.
    """
    pred, true = pred_edges > 0.5, true_edges > 0.5
    if mask is not None:
        require_mask(true_edges, mask)
        pred, true = pred & (mask > 0), true & (mask > 0)
    hits, predicted, wanted = (edges.sum((1, 2, 3)).double() for edges in (pred & true, pred, true))
    neither = predicted + wanted == 0
    precision = (hits / predicted.clamp(min=1)).masked_fill(neither, 1)
    recall = (hits / wanted.clamp(min=1)).masked_fill(neither, 1)
    return precision, recall
