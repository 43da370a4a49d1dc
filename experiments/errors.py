"""Mistakes of the person at the keyboard: one line, exit code 2, no traceback."""

import difflib


class UserError(ValueError):
    """Says what was expected, what was found and what to do."""


def nearest(name, known):
    """'; nearest: x' for the closest of `known`, or the whole list where nothing is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; nearest: {close[0]}" if close else f"; there are: {', '.join(sorted(known))}"
