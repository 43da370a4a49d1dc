"""Training does not fail with what watches it."""

import logging

log = logging.getLogger(__name__)


class Attempts:
    """Calls something outside of this program; after the first call that fails, says so once and calls no more.

    name: of what is called, for the message. errors: what its calls raise when it, not the caller, is at fault.
    """

    def __init__(self, name, *errors):
        self.name, self.errors, self.failed = name, (OSError, *errors), False

    def __call__(self, action):
        """What `action` returns, or None."""
        if self.failed:
            return None
        try:
            return action()
        except self.errors as error:
            self.failed = True
            first = str(error).strip().splitlines()[:1] or [type(error).__name__]
            log.warning("%s: %s; going on without it", self.name, first[0])
