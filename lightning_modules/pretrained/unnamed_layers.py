"""Naming the layers of a file that has numbers for names, by the shapes of layers that follow each other."""

import torch


def places_of(tensors):
    """{place: shape} of the weights of a file's layers, in its order."""
    return {key.removesuffix(".weight"): value.shape for key, value in tensors.items() if key.endswith(".weight")}


def named_by_shape(tensors, runs, repeated=()):
    """{place: name} of the layers that belong to a run; the others are left out.

    runs      {name: [(layer, shape of its weight, other shapes it may have, ...)]}, each in the order of the file; None
              stands for any number. Where several fit, the first is taken; each is taken once
    repeated  names of runs that may be there again, if with the same values: a file may hold shared layers twice
    """
    shapes, runs, names = places_of(tensors), dict(runs), {}
    places, start = list(shapes), 0
    while start < len(places):
        ahead = {name: places[start : start + len(run)] for name, run in runs.items()}
        fitting = [name for name, run in runs.items() if fits(run, [shapes[place] for place in ahead[name]])]
        if not fitting:
            start += 1
            continue
        run = runs[fitting[0]]
        layers = zip(ahead[fitting[0]], run, strict=True)
        found = {place: f"{fitting[0]}.{layer}".rstrip(".") for place, (layer, *_) in layers}
        if same_values(tensors, found, names):
            names |= found
        if fitting[0] not in repeated:
            del runs[fitting[0]]
        start += len(run)
    return names


def fits(run, shapes):
    """Whether these shapes begin with those of a run."""

    def alike(shape, wanted):
        return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))

    return len(shapes) >= len(run) and all(
        any(alike(shape, each) for each in wanted) for shape, (_, *wanted) in zip(shapes, run, strict=False)
    )


def same_values(tensors, found, names):
    """Whether layers whose names are taken already have the values of those that took them."""
    taken = {name: place for place, name in names.items()}
    return all(
        torch.equal(tensors[f"{place}.{part}"], tensors[f"{taken[name]}.{part}"])
        for place, name in found.items()
        if name in taken
        for part in ("weight", "bias")
        if f"{place}.{part}" in tensors and f"{taken[name]}.{part}" in tensors
    )
