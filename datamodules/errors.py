"""What a user's data can get wrong. The command line prints the message alone and ends with exit code 2."""


class DataError(ValueError):
    """A data set that is not as described: says what was looked for, where, and what was found instead."""


class UnreadableImage(DataError):
    """One file that cannot be read as an image. Skipped and counted in training, an error in evaluation."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self):  # so that it crosses from a loader's worker to the main process
        return UnreadableImage, (self.path, self.reason)
