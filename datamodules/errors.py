"""What a user's data can get wrong. The command line prints the message alone and ends with exit code 2."""


class DataError(ValueError):
    """A data set that is not as described: says what was looked for, where, and what was found instead."""


class UnreadableImage(DataError):
    """One file that cannot be read as an image. Skipped and counted in training, an error in evaluation.

    A DataLoader raises an error of its worker again with one argument: a text that ends in the line
    'datamodules.errors.UnreadableImage: path: reason'. Path and reason are read back from it.
    """

    def __init__(self, path, reason=None):
        if reason is None:
            path, _, reason = str(path).strip().rpartition(f"{type(self).__name__}: ")[2].partition(": ")
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self):  # so that it crosses between processes as it is
        return UnreadableImage, (self.path, self.reason)
