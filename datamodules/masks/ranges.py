"""Settings that are a range [low, high], and sizes that are a share of the image or pixels."""


def check_range(name, pair, least, most=float("inf")):
    """Raises ValueError unless `pair` is [low, high] with least <= low <= high <= most."""
    if len(pair) != 2 or not least <= pair[0] <= pair[1] <= most:
        bounds = f"at least {least}" if most == float("inf") else f"within [{least}, {most}]"
        raise ValueError(f"{name} must be [low, high] with low <= high, both {bounds}; got {list(pair)}")


def check_sizes(name, pair):
    """Raises ValueError unless `pair` is a range of sizes above 0, both shares (up to 1) or both pixels (above 1)."""
    check_range(name, pair, least=0)
    if pair[0] == 0 or (pair[0] <= 1) != (pair[1] <= 1):
        raise ValueError(
            f"{name} must be two shares of the shorter image side (above 0, up to 1) or two lengths in pixels "
            f"(above 1); got {list(pair)}"
        )


def check_ratios(low, high):
    """Raises ValueError unless [low, high] is a range of hole shares that a mask can have."""
    if not 0 <= low < high <= 1:
        raise ValueError(f"hole shares need 0 <= min_ratio < max_ratio <= 1; got min_ratio={low}, max_ratio={high}")


def in_pixels(size, height, width):
    """A size in pixels, as float: up to 1 it is a share of the shorter image side, above 1 it is pixels already."""
    return size * min(height, width) if size <= 1 else float(size)


def side_in_pixels(size, height, width):
    """A size in whole pixels, at least 1. Raises ValueError where it does not fit into the image."""
    side = max(1, round(in_pixels(size, height, width)))
    if side > min(height, width):
        raise ValueError(
            f"a hole of side {side} does not fit into an image of {height} x {width}: give its side as a share of the "
            "image (up to 1), or use a larger crop"
        )
    return side
