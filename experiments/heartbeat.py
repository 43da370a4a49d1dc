"""Whether the other processes of a run still live, by word of their own and not by their sockets."""

import threading
import time
from contextlib import suppress
from datetime import timedelta

DONE = b"done"  # the last word of a rank that the others can do without


class Heartbeat:
    """Calls lost(message) where nothing is heard of another rank for a while.

    A process that dies closes its sockets, which the others notice at once. A machine that loses its power or its
    network closes none, and they would wait for it for half an hour. So each rank changes a value in the run's store
    every few seconds and looks at the values of the others.

    Work of any length leaves it alone: its threads need the interpreter for a moment only, and validation, checkpoints
    and the waiting for another rank let go of it. They start when the processes have found each other, behind all
    imports. A rank at its end says so. Silence is counted in rounds of this process, so that clocks are not compared
    and a run that was stopped as a whole (Ctrl-Z, a suspended job) is not taken for a lost one when it goes on.

    The thread that talks may wait for ever where the machine of the store, the first rank's, is lost; another one
    counts.
    """

    every, silence = 5.0, 45.0  # seconds

    def __init__(self, store, rank, world, lost):
        self.store, self.rank, self.lost = store, rank, lost
        self.store.set_timeout(timedelta(seconds=self.silence))
        self.others = [other for other in range(world) if other != rank]
        self.words, self.rounds = {}, dict.fromkeys(self.others, 0)  # of the others: the last word, rounds since then
        self.ended, self.well = threading.Event(), False
        self.talker = threading.Thread(target=self.talk, daemon=True)

    def start(self):
        self.talker.start()
        threading.Thread(target=self.count, daemon=True).start()

    def stop(self, well=True):
        """Ends the looking. well: the others may do without this process; else they are to end 45 seconds later."""
        if not self.ended.is_set():
            self.well = well
            self.ended.set()
            self.talker.join(3 * self.every)

    def talk(self):
        beat = 0
        while not self.ended.is_set():
            beat += 1
            with suppress(RuntimeError):  # the store is out of reach: then nobody is heard
                self.store.set(key_of(self.rank), str(beat))
                self.listen()
            self.ended.wait(self.every)
        if self.well:
            with suppress(RuntimeError):
                self.store.set(key_of(self.rank), DONE)
                self.wait_for_others()

    def listen(self):
        for other, word in zip(self.others, self.store.multi_get([key_of(rank) for rank in self.others]), strict=True):
            if word != self.words.get(other):
                self.words[other], self.rounds[other] = word, 0

    def wait_for_others(self):
        """The store ends with the first rank, which stays until the others are done or have seen that it is."""
        deadline = time.monotonic() + 2 * self.every
        while self.rank == 0 and set(self.words.values()) != {DONE} and time.monotonic() < deadline:
            time.sleep(0.05)
            self.listen()

    def count(self):
        while not self.ended.wait(self.every):
            for other in self.others:
                self.rounds[other] += 1
            silent = [
                str(other)
                for other in self.others
                if self.rounds[other] * self.every > self.silence and self.words.get(other) != DONE
            ]
            if silent:
                self.lost(
                    f"rank {self.rank} ends: nothing was heard of rank {', '.join(silent)} for {self.silence:g} s; a "
                    "machine is lost or out of reach, theirs or that of rank 0, which passes word on"
                )
                return


def key_of(rank):
    return f"heartbeat/{rank}"
