"""argparse with one-line errors and an example in every help text, and names that become folders."""

import argparse
import re

from experiments.errors import UserError, nearest

NAME = re.compile(r"\w[\w.+-]{0,99}")


def plain_name(what, value):
    """The name of a folder to make, as text. UserError where it is none, or would lead out of where it belongs."""
    if type(value) not in (str, int) or not NAME.fullmatch(str(value)):
        raise UserError(f"{what} must be a name of letters, digits and . _ + -, the first no sign; got '{value}'")
    return str(value)


class Parser(argparse.ArgumentParser):
    """Parser of one verb. Mistakes raise UserError instead of printing a usage text."""

    def __init__(self, verb, description, example):
        super().__init__(
            prog=f"chromafill {verb}",
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message):
        raise UserError(message)

    def parse_args(self, args=None, namespace=None):
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            raise UserError(f"no option '{unknown[0]}'{nearest(unknown[0], options)}")
        return parsed

    def overrides(self):
        """Takes any number of Hydra-style `key=value` words."""
        self.add_argument("overrides", nargs="*", metavar="key=value", help="settings, as Hydra reads them")
        return self
