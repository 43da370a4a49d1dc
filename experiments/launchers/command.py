"""A command line as a job: what is pickled when it is submitted and called where it runs."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Command:
    """Replaces the job's process by a command, so that the scheduler's signals reach it and its exit code is the job's.

    environment: variables to set, or to take away where the value is None.
    """

    words: list[str]
    environment: dict[str, str | None] = field(default_factory=dict)

    def __call__(self):
        for name, value in self.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        os.execvp(self.words[0], self.words)
