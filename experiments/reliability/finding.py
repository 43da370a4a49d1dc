"""What a section of `chromafill reliability` is asked for, and what it reports."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much to try."""

    kills: int = 20  # of one run, in a row
    files: int = 10_000  # damaged files for each reader
    megapixels: int = 100  # of the photograph that is coloured and filled
    papers: tuple[str, ...] | None = None  # None: all


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was tried `tried` times and went as promised `held` times.

    note: the figure; or why something did not hold; or, where tried is 0, why nothing could be tried here.
    """

    what: str
    tried: int
    held: int
    note: str = ""

    def __post_init__(self):
        if not 0 <= self.held <= self.tried:
            raise ValueError(f"{self.what}: {self.held} of {self.tried} cannot have held")
