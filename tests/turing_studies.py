"""Small Turing tests of the drawn scenes, which need no checkpoint, and those who take part in them."""

import json

from experiments.verbs import turing

SMALL = ["--practice", "2", "--trials", "10", "--images", "20", "--exposure", "0.02", "--pause", "0", "--side", "32"]
SCENES = ["data=synthetic", "data.crop=32", "data.batch_size=8", "data.workers=0", "data.test_count=30", "seed=3"]
HOLES = ["checkpoint=baseline/mean_fill", *SCENES, "masks@data.masks=centre", "data.masks.side=16"]
GREY = ["checkpoint=baseline/grey", *SCENES]

SEEN = "#say-left:visible, #next:not(.hide), #between:visible, #end:visible"  # what a page waits with
KEYS = {"left": ("ArrowLeft", "1"), "right": ("ArrowRight", "2")}


def run(*words):
    """The exit code of `chromafill turing`."""
    return turing.run(turing.parser().parse_args([str(word) for word in words])) or 0


def session(manifest, participant, *, page=1, fooled=0, caught=True, response=0.5):
    """What a page of SMALL writes at the end. fooled: how many of its scored trials were answered wrong, the first
    ones; caught: whether the catch trial was answered right."""
    pairs = manifest["pages"][page - 1]["pairs"]
    of = {role: [pair for pair in pairs if pair["role"] == role] for role in ("practice", "scored", "catch")}
    scored = of["scored"][: manifest["design"]["scored"]]
    trials = [trial(pair, right=True, response=response) for pair in of["practice"]]
    trials += [trial(pair, right=number >= fooled, response=response) for number, pair in enumerate(scored)]
    trials += [trial(pair, right=caught, response=response) for pair in of["catch"]]
    return {
        "study": manifest["study"],
        "page": page,
        "participant": participant,
        "session": f"session of {participant} on {page}",
        "started": "2026-01-01T00:00:00.000Z",
        "finished": "2026-01-01T00:05:00.000Z",
        "window": {"width": 1280, "height": 900, "ratio": 1},
        "trials": trials,
    }


def trial(pair, *, right, response=0.5):
    left, right_picture = pair["pictures"]
    fake = ("left", "right")[pair["fake"]]
    return {
        "pair": pair["id"],
        "left": left,
        "right": right_picture,
        "practice": pair["role"] == "practice",
        "side": 32,
        "exposure": [0.02, 0.02],
        "answer": fake if right else {"left": "right", "right": "left"}[fake],
        "response": response,
        "by": "keyboard",
        "void": None,
    }


class Player:
    """Somebody before a page. `fooled` says of a pair whether its fake is taken for the photograph."""

    def __init__(self, page, manifest, fooled, by="keyboard"):
        self.page, self.fooled, self.by = page, fooled, by
        self.pairs = {pair["id"]: pair for each in manifest["pages"] for pair in each["pairs"]}
        self.answered = 0

    def start(self, name):
        self.page.fill("#participant", name)
        self.page.click("#begin button")

    def step(self):
        """Waits for what the page asks next and does it. -> whether the session goes on."""
        self.page.wait_for_selector(SEEN)
        for button in ("#next button", "#between button"):
            if self.page.locator(button).is_visible():
                self.page.keyboard.press("Enter") if self.by == "keyboard" else self.page.click(button)
                return True
        if self.page.locator("#end").is_visible():
            return False
        self.answer()
        return True

    def answer(self):
        shown = self.page.evaluate("session.open")
        pair = self.pairs[shown["pair"]]
        fake = "left" if shown["left"] == pair["pictures"][pair["fake"]] else "right"
        side = {"left": "right", "right": "left"}[fake] if self.fooled(pair) else fake
        if self.by == "keyboard":
            self.page.keyboard.press(KEYS[side][self.answered % 2])
        elif self.by == "tap":
            self.page.tap(f"#say-{side}")
        else:
            self.page.click(f"#say-{side}")
        self.answered += 1

    def play(self, name):
        self.start(name)
        while self.step():
            pass
        return json.loads(self.page.input_value("#answers"))
