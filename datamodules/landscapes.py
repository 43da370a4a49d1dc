"""Simple landscapes drawn from random numbers: what `datamodules/synthetic.py` serves.

A scene is painted from back to front. Every region has a texture that tells its class in grey, a colour that follows
from the class up to the light of the day, and an outline that goes on beyond any hole. H = W is the side in pixels;
coordinates run over [0, 1], y downwards; colours are sRGB in [0, 1]; a coverage is (H, W) or broadcasts to it, in
[0, 1], its edges one pixel wide.
"""

import numpy as np

SEMANTIC_CLASSES = ["sky", "water", "sand", "grass", "field", "forest", "trunk", "rock", "snow", "road", "building"]

COLOURS = {
    "water": (0.11, 0.42, 0.56),
    "sand": (0.85, 0.66, 0.40),
    "grass": (0.36, 0.60, 0.18),
    "field": (0.83, 0.69, 0.20),
    "forest": (0.13, 0.37, 0.15),
    "trunk": (0.40, 0.25, 0.14),
    "rock": (0.53, 0.41, 0.35),
    "snow": (0.87, 0.91, 0.98),
    "road": (0.40, 0.40, 0.43),
    "building": (0.67, 0.38, 0.29),
}


def mix(first, second, share):
    """The colour `share` of the way from the first to the second."""
    return np.asarray(first, np.float32) * (1 - share) + np.asarray(second, np.float32) * share


def knot_weights(places, knots):
    """(N, knots) smooth interpolation weights of N places in [0, 1] between evenly spaced knots; rows sum to 1."""
    distance = np.abs(np.clip(places, 0, 1)[:, None] * (knots - 1) - np.arange(knots, dtype=np.float32))
    near = np.maximum(1 - distance, 0)
    return near * near * (3 - 2 * near)


class Canvas:
    """A scene in the making: `image` (H,W,3) float32, `semantic` (H,W) uint8, and the light that falls on it."""

    def __init__(self, size, rng):
        self.size, self.rng = size, rng
        self.axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.y, self.x = self.axis[:, None], self.axis[None, :]
        self.image = np.zeros((size, size, 3), np.float32)
        self.semantic = np.zeros((size, size), np.uint8)
        self.evening = max(0.0, rng.uniform(-1, 1))  # 0: noon, the half of all scenes; 1: sunset
        self.zenith = mix((0.22, 0.47, 0.83), (0.27, 0.29, 0.52), self.evening)
        self.horizon = mix((0.72, 0.84, 0.94), (0.98, 0.66, 0.42), self.evening)

    def noise(self, rows, columns, depth=None):
        """Smooth noise, about unit variance, (H,W). depth (H,) in [0, 1]: where each row lies among the knots."""
        grid = self.rng.standard_normal((rows, columns), dtype=np.float32)
        return knot_weights(self.axis if depth is None else depth, rows) @ grid @ knot_weights(self.axis, columns).T

    def depth(self, top):
        """(H,) rows of a plane that runs from the viewer to a horizon at `top`: dense far away, wide in front."""
        return np.sqrt(np.clip((self.axis - top) / (1 - top), 0, 1))

    def outline(self, height, swing, knots, octaves=1):
        """(W,) a curve around `height`: `swing` is its deviation, `octaves` add ever smaller and finer turns."""
        curve = np.full(self.size, height, np.float32)
        for octave in range(octaves):
            turns = self.rng.standard_normal(knots * 2**octave, dtype=np.float32)
            curve += swing / 2**octave * (knot_weights(self.axis, len(turns)) @ turns)
        return curve

    def coverage(self, inside):
        """Coverage from a signed distance in units of the side, positive inside."""
        return np.clip(inside * self.size + 0.5, 0, 1)

    def below(self, curve):
        """Coverage of all that lies under a curve (W,) or a height."""
        return self.coverage(self.y - curve)

    def paint(self, covered, name, colour):
        """Lays colour, (H,W,3) or (3,), over the picture and its class map."""
        self.image += covered[..., None] * (colour - self.image)
        self.semantic[np.broadcast_to(covered > 0.5, self.semantic.shape)] = SEMANTIC_CLASSES.index(name)

    def cover(self, covered, name, texture, haze=0.0):
        """Paints a region in its class's colour. texture (H,W): relative change of brightness; haze: share of sky.

        Each region is a little lighter or darker than its class, so that grey does not give the class away.
        """
        base = np.asarray(COLOURS[name], np.float32) * self.rng.uniform(0.78, 1.18)
        base = base * mix((1, 1, 1), (1.12, 0.86, 0.68), self.evening)
        self.paint(covered, name, mix(base * (1 + texture[..., None]), self.horizon, haze))

    def sky(self):
        """The whole picture: a gradient to the horizon with clouds, more of them towards the top on some days."""
        fall = np.minimum(self.y / 0.5, 1)[..., None]
        clear = self.zenith * (1 - fall) + self.horizon * fall
        clouds = self.noise(7, 4) + 0.6 * self.noise(14, 8) + 0.3 * self.noise(28, 18)
        veil = np.clip((clouds - self.rng.uniform(0.2, 1.8)) * 0.8, 0, 0.85)[..., None]
        white = mix((0.97, 0.97, 0.98), (0.99, 0.78, 0.66), self.evening)
        self.paint(np.ones((1, 1), np.float32), "sky", clear + veil * (white - clear))

    def water(self, covered, top):
        """Waves: long and flat, close together near the horizon at `top`, lighter far away."""
        depth = self.depth(top)
        waves = 0.10 * self.noise(40, 6, depth) + 0.08 * self.noise(72, 16, depth)
        self.cover(covered, "water", waves + 0.25 * (1 - depth)[:, None], haze=0.08)

    def sand(self, covered, top, shade=0.0, haze=0.0):
        """Nearly smooth, with faint ripples. shade: (W,) or a number, added to the texture."""
        depth = self.depth(top)
        ripples = 0.03 * np.sin((60 * depth)[:, None] + 2 * self.noise(3, 5))
        self.cover(covered, "sand", ripples + 0.04 * self.noise(9, 9) + 0.03 * self.noise(30, 30) + shade, haze)

    def grass(self, covered, top, haze=0.0):
        """Blades: fine upright strokes over soft patches."""
        depth = self.depth(top)
        blades = 0.14 * self.noise(18, 44, depth) + 0.10 * self.noise(26, 72, depth)
        self.cover(covered, "grass", blades + 0.10 * self.noise(5, 5), haze)

    def field(self, covered, top):
        """Crops in rows that meet on the horizon at `top`."""
        vanish, rows = self.rng.uniform(-0.2, 1.2), self.rng.uniform(9, 14)
        angle = (self.x - vanish) / (self.y - top + 0.15)
        self.cover(covered, "field", 0.16 * np.sin(2 * rows * angle) + 0.06 * self.noise(20, 20))

    def forest(self, covered, haze=0.0):
        """Crowns: dark, lumpy, of strong contrast."""
        lumps = 0.28 * self.noise(16, 16) + 0.24 * self.noise(34, 34)
        self.cover(covered, "forest", np.maximum(lumps, -0.6), haze)

    def rock(self, covered, haze=0.0):
        """Facets: sharp creases that lean, as of folded stone."""
        creases = np.abs(self.noise(9, 7)) + 0.6 * np.abs(self.noise(18, 14)) + 0.35 * np.abs(self.noise(36, 30))
        self.cover(covered, "rock", 0.30 - 0.34 * creases, haze)

    def snow(self, covered, shade=0.0, haze=0.0):
        """Smooth and bright, with soft hollows."""
        hollows = 0.05 * self.noise(4, 4) + 0.02 * self.noise(12, 12)
        self.cover(covered, "snow", hollows - 0.06 + shade, haze)

    def ridge(self, height, swing, peaks):
        """(W,) a mountain's outline: sharp summits over rough flanks."""
        places = np.arange(peaks) + self.rng.uniform(0.2, 0.8, peaks)
        tops = self.rng.uniform(0.5, 1.0, peaks)
        rise = tops[:, None] - 1.1 * np.abs(self.axis * peaks - places[:, None])  # (peaks, W)
        return (height - swing * np.maximum(rise.max(0), 0)).astype(np.float32) + self.outline(0, swing / 12, 9, 3)

    def conifers(self, ground, count):
        """Coverage of `count` fir trees, (H,W), whose feet stand on the curve `ground` (W,)."""
        x = self.rng.uniform(0, 1, count).astype(np.float32)
        height = self.rng.uniform(0.12, 0.34, count).astype(np.float32)[:, None, None]
        foot = ground[(x * (self.size - 1)).astype(int)][:, None, None] + 0.02
        rise = (foot - self.y) / height  # (count, H, 1): 0 at the foot, 1 at the tip
        branches = 0.8 + 0.2 * ((rise * -5) % 1)
        half = np.where((rise > 0) & (rise < 1), 0.24 * height * (1 - rise) * branches, -1)
        return self.coverage((half - np.abs(self.x - x[:, None, None])).max(0))

    def bushes(self, ground, count):
        """Coverage of `count` round trees, (H,W), on the curve `ground` (W,)."""
        x = self.rng.uniform(0, 1, count).astype(np.float32)
        radius = self.rng.uniform(0.035, 0.10, count).astype(np.float32)[:, None, None]
        middle = ground[(x * (self.size - 1)).astype(int)][:, None, None] - 0.7 * radius
        away = np.hypot(self.x - x[:, None, None], 1.15 * (self.y - middle))
        return self.coverage((radius - away).max(0))

    def skyline(self, foot, tallest, count, haze=0.0):
        """A row of houses with windows in regular rows, standing on `foot`."""
        edges = np.sort(self.rng.uniform(0, 1, count)).astype(np.float32)
        house = np.searchsorted(edges, self.axis)  # (W,)
        top = foot - self.rng.uniform(0.35, 1.0, count + 1)[house] * tallest
        inside = self.axis - np.concatenate([[-0.05], edges])[house]  # (W,) from the house's left wall
        pitch = self.rng.uniform(0.055, 0.085)
        across, down = (inside / pitch) % 1, ((self.y - top) / (1.3 * pitch)) % 1
        panes = (abs(across - 0.5) < 0.24) & (abs(down - 0.5) < 0.27) & (self.y > top + 0.02)
        wall = self.rng.uniform(-0.25, 0.30, count + 1)[house].astype(np.float32)
        texture = np.where(panes, -0.55, wall + 0.04 * self.noise(24, 24)).astype(np.float32)
        self.cover(self.below(top.astype(np.float32)) * self.coverage(foot - self.y), "building", texture, haze)

    def road(self, top, bend, half, start):
        """A road that would reach the horizon at `top`, seen from `start` down. half: half its width at the bottom."""
        near = np.clip((self.y - top) / (1 - top), 1e-3, 1)  # (H,1)
        off, seen = np.abs(self.x - 0.5 - bend * (1 - near) ** 2), self.y > start
        self.cover(
            seen * self.coverage(half * near - off), "road", 0.04 * self.noise(40, 40) + 0.03 * self.noise(64, 64)
        )
        dashes = self.coverage(0.035 * half * near - off) * ((2.2 / (near + 0.12)) % 1 < 0.5)
        edges = self.coverage(0.02 * half * near - np.abs(off - 0.88 * half * near))
        self.paint(seen * np.maximum(dashes, edges), "road", mix((0.92, 0.91, 0.86), self.horizon, 0.1))

    def trunks(self, ground, count):
        """Tree trunks from the top of the picture down to about `ground`; the thicker, the nearer."""
        half, x, lean = (self.rng.uniform(*span, (count, 1, 1)) for span in ((0.012, 0.045), (0, 1), (-0.05, 0.05)))
        off = self.x - (x + lean * self.y).astype(np.float32)  # (count, H, W) from each trunk's middle
        inside = half.astype(np.float32) * (0.8 + 0.3 * self.y) - np.abs(off)
        inside = np.where(self.y < ground + 4 * half - 0.05, inside, -1)
        front = inside.argmax(0)[None]
        off, inside = (np.take_along_axis(plane, front, 0)[0] for plane in (off, inside))
        rounded = -0.35 * np.clip(off / half[front[0], 0, 0].astype(np.float32), -1, 1)
        self.cover(self.coverage(inside), "trunk", rounded + 0.14 * self.noise(6, 80))


def coast(canvas):
    """Sea under the sky, a headland on some, a beach in front with foam at its edge."""
    rng = canvas.rng
    horizon, shore = rng.uniform(0.32, 0.50), rng.uniform(0.66, 0.84)
    canvas.sky()
    canvas.water(canvas.below(horizon), horizon)
    if rng.uniform() < 0.5:
        side = canvas.axis if rng.uniform() < 0.5 else 1 - canvas.axis
        land = canvas.outline(horizon + 0.04, 0.015, 9, 2) - 0.3 * np.maximum(0, 0.55 - side)
        canvas.rock(canvas.below(land) * canvas.coverage(horizon + 0.05 - canvas.y) * (side < 0.5), haze=0.2)
    beach = canvas.outline(shore, 0.03, 4) + rng.uniform(-0.3, 0.3) * (canvas.axis - 0.5)
    canvas.sand(canvas.below(beach), 0.5)
    foam = canvas.coverage(rng.uniform(0.008, 0.018) - np.abs(canvas.y - beach + 0.01))
    canvas.paint(0.9 * foam, "water", mix((0.93, 0.95, 0.95), canvas.horizon, 0.2))


def countryside(canvas):
    """Wooded hills, meadows and a crop field, single trees."""
    rng = canvas.rng
    horizon = rng.uniform(0.35, 0.50)
    canvas.sky()
    canvas.forest(canvas.below(canvas.outline(horizon - 0.05, 0.03, 5, 3)), haze=0.35)
    meadow = canvas.outline(horizon + 0.03, 0.015, 5)
    canvas.grass(canvas.below(meadow), horizon, haze=0.1)
    crops = canvas.outline(rng.uniform(0.55, 0.65), 0.015, 4) + rng.uniform(-0.15, 0.15) * (canvas.axis - 0.5)
    canvas.field(canvas.below(crops), horizon)
    canvas.forest(canvas.bushes(meadow + 0.05, rng.integers(2, 6)))
    if rng.uniform() < 0.6:
        verge = canvas.outline(rng.uniform(0.80, 0.90), 0.03, 4)
        canvas.grass(canvas.below(verge), horizon)


def city(canvas):
    """Two rows of houses behind a street."""
    rng = canvas.rng
    foot = rng.uniform(0.68, 0.80)
    canvas.sky()
    canvas.skyline(foot, rng.uniform(0.50, 0.62), rng.integers(6, 10), haze=0.45)
    canvas.skyline(foot, rng.uniform(0.35, 0.55), rng.integers(3, 6))
    canvas.grass(canvas.below(foot), 0.5)
    canvas.road(foot - 0.12, 0.0, rng.uniform(0.9, 1.4), start=foot)


def desert(canvas):
    """Dunes, lit from one side, a table mountain on some."""
    rng = canvas.rng
    horizon = rng.uniform(0.40, 0.55)
    canvas.sky()
    if rng.uniform() < 0.5:
        left, width = rng.uniform(0, 0.6), rng.uniform(0.2, 0.4)
        flank = np.minimum(canvas.axis - left, left + width - canvas.axis)
        table = horizon + 0.05 - np.clip(4 * flank, 0, rng.uniform(0.12, 0.22)) + canvas.outline(0, 0.004, 20)
        canvas.rock(canvas.below(table.astype(np.float32)), haze=0.15)
    sun = rng.choice([-1.0, 1.0])
    for distance, height in enumerate((horizon, rng.uniform(0.60, 0.68), rng.uniform(0.78, 0.90))):
        crest = canvas.outline(height, 0.035, 4 - distance)
        shade = np.clip(sun * np.gradient(crest, 1 / canvas.size), -0.25, 0.15)
        canvas.sand(canvas.below(crest), horizon - 0.02, shade, haze=0.25 - 0.12 * distance)


def mountain(canvas):
    """Snowy summits over a wood, with a meadow or a lake in front."""
    rng = canvas.rng
    foot = rng.uniform(0.60, 0.72)
    canvas.sky()
    ridge = canvas.ridge(foot, rng.uniform(0.38, 0.52), rng.integers(2, 4))
    canvas.rock(canvas.below(ridge), haze=0.12)
    snowline = canvas.outline(foot - rng.uniform(0.18, 0.28), 0.03, 14, 2)
    canvas.snow(canvas.below(ridge) * canvas.coverage(snowline - canvas.y), 0.06 * canvas.noise(12, 12))
    canvas.forest(canvas.below(canvas.outline(foot - 0.04, 0.02, 9, 3)), haze=0.08)
    front = canvas.outline(foot + 0.08, 0.008, 5)
    if rng.uniform() < 0.5:
        canvas.water(canvas.below(front), foot)
    else:
        canvas.grass(canvas.below(front), foot)


def forest(canvas):
    """Trunks before dark crowns, a mossy floor, light from above."""
    rng = canvas.rng
    floor = rng.uniform(0.66, 0.78)
    canvas.sky()
    canvas.forest(canvas.below(canvas.outline(rng.uniform(0.05, 0.25), 0.06, 9, 3)), haze=0.12)
    canvas.grass(canvas.below(canvas.outline(floor, 0.015, 7)), 0.4)
    canvas.trunks(floor, rng.integers(5, 10))
    canvas.forest(canvas.coverage(canvas.outline(rng.uniform(0.12, 0.24), 0.05, 9, 3) - canvas.y))


def highway(canvas):
    """A road to the horizon through grassland, hills behind."""
    rng = canvas.rng
    horizon = rng.uniform(0.38, 0.52)
    canvas.sky()
    if rng.uniform() < 0.5:
        canvas.rock(canvas.below(canvas.ridge(horizon + 0.02, 0.2, rng.integers(2, 5))), haze=0.35)
    else:
        canvas.forest(canvas.below(canvas.outline(horizon - 0.04, 0.03, 6, 3)), haze=0.25)
    canvas.grass(canvas.below(horizon), horizon - 0.05)
    canvas.road(horizon, rng.uniform(-0.35, 0.35), rng.uniform(0.35, 0.6), start=horizon)


def snowfield(canvas):
    """Firs on snow, wooded hills far away."""
    rng = canvas.rng
    horizon = rng.uniform(0.42, 0.58)
    canvas.sky()
    canvas.forest(canvas.below(canvas.outline(horizon - 0.06, 0.025, 6, 3)), haze=0.45)
    for height in (horizon, rng.uniform(0.66, 0.76)):
        drift = canvas.outline(height, 0.025, 4)
        canvas.snow(canvas.below(drift), np.clip(0.5 * np.gradient(drift, 1 / canvas.size), -0.12, 0.05))
        canvas.forest(canvas.conifers(drift, rng.integers(2, 6)))


SCENES = {scene.__name__: scene for scene in (coast, countryside, city, desert, mountain, forest, highway, snowfield)}


def draw(name, size, rng):
    """One scene. -> image uint8 (size, size, 3), semantic uint8 (size, size). rng: a numpy Generator."""
    canvas = Canvas(size, rng)
    SCENES[name](canvas)
    exposure = rng.uniform(0.85, 1.1)
    return (np.clip(canvas.image * exposure, 0, 1) * 255 + 0.5).astype(np.uint8), canvas.semantic
