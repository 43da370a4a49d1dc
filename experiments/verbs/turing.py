"""`chromafill turing make|score`: can people tell the recoloured or completed picture from the photograph?"""

from pathlib import Path

from experiments.arguments import Parser
from experiments.errors import UserError
from experiments.evaluation.setup import prepare
from experiments.photographs import pick_device
from experiments.turing.answers import read_manifest, read_sessions
from experiments.turing.design import Design, photographs
from experiments.turing.fooling import Rule, judge
from experiments.turing.report import print_tables, write_results
from experiments.turing.study import make_study


def parser():
    parser = Parser(
        "turing",
        "make: pages of one file each, one per algorithm, on which participants see pairs of a photograph and a fake,\n"
        "one after the other for a second each, and say which is the fake (Colorful Image Colorization, Sec. 4.1).\n"
        "score: the share of trials in which the fake was taken for the photograph, per algorithm, with a standard\n"
        "error, and the pictures that fooled most. A picture that cannot be told apart fools in 50 %.\n"
        "\n"
        "Hand out one page to a participant, and nothing else of the folder: manifest.json and pictures/ tell the\n"
        "truth. Somebody who is set on cheating can take a page apart; catch trials, in which the fake is by a crude\n"
        "baseline, and the times that are kept are there for the careless. score leaves out sessions that are not\n"
        "complete, with too few catch trials right or too many answers too soon, and a second session of anybody.\n"
        "With the default of 3 in 4 catch trials, three in ten who guess all the time get by; of those who see 87 %\n"
        "of such fakes, as the paper's participants did, nine in ten do.",
        "chromafill turing make checkpoint=[a.ckpt,b.ckpt] data=folder data.root=photos -o study\n"
        "  chromafill turing score study answers/*.json",
    )
    parser.add_argument("action", choices=("make", "score"))
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="make: settings key=value, as for evaluate; score: the study's folder or manifest, then files of answers"
        " or folders of them",
    )
    parser.add_argument("-o", "--output", type=Path, help="folder; make: turing, score: that of the manifest")
    count, seconds, share = (
        {"type": int, "metavar": "N"},
        {"type": float, "metavar": "S"},
        {"type": float, "metavar": "X"},
    )
    making = parser.add_argument_group("make")
    making.add_argument("--practice", default=10, help="trials with feedback, not counted (10)", **count)
    making.add_argument("--trials", default=40, help="trials without, one in ten a catch trial (40)", **count)
    making.add_argument("--images", help="photographs that take turns in them (100, or all there are)", **count)
    making.add_argument("--exposure", default=1.0, help="seconds for which a picture is shown (1)", **seconds)
    making.add_argument("--pause", default=0.3, help="seconds; 3 of it before a pair, 2 within (0.3)", **seconds)
    making.add_argument("--side", default=256, help="of a picture, in pixels (256)", **count)
    making.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: cuda if there is one")
    scoring = parser.add_argument_group("score")
    scoring.add_argument("--catch", default=0.75, help="least share of catch trials right (0.75)", **share)
    scoring.add_argument("--fast", default=0.1, help="seconds; an answer before that is too soon (0.1)", **seconds)
    scoring.add_argument("--fast-share", default=0.2, help="most of the answers that may be too soon (0.2)", **share)
    scoring.add_argument("--drift", default=0.1, help="seconds that an exposure may be off to count (0.1)", **seconds)
    scoring.add_argument("--list", default=5, help="pictures to list that fooled most, and least (5)", **count)
    return parser


def run(arguments):
    return {"make": make, "score": score}[arguments.action](arguments)


def make(arguments):
    design = Design(
        practice=arguments.practice,
        trials=arguments.trials,
        exposure=arguments.exposure,
        pause=arguments.pause,
        side=arguments.side,
    )
    folder = arguments.output or Path("turing")
    require_free(folder)
    device = pick_device(arguments.device)
    setup = prepare(arguments.words)
    candidates = [candidate for candidate in setup.candidates if candidate.name in setup.named]
    for candidate in candidates:
        if candidate.module is not None:
            candidate.module.to(device)
    available = len(setup.data.dataset(setup.config["split"]))
    positions = photographs(available, arguments.images, design, setup.config["seed"])
    manifest = make_study(folder, setup, candidates, design, positions, device)
    for page in manifest["pages"]:
        size = (folder / page["file"]).stat().st_size / 1e6
        print(f"{folder / page['file']}  {page['name']}  {size:.1f} MB")
    print(f"{folder / 'manifest.json'}  study {manifest['study']}; hand out the pages alone")


def require_free(folder):
    """UserError where something is there already: a study under way must not lose its key."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"-o {folder} exists and is not an empty folder; give another")


def score(arguments):
    rule = Rule(catch=arguments.catch, fast=arguments.fast, fast_share=arguments.fast_share, drift=arguments.drift)
    if arguments.list < 1:
        raise UserError(f"--list must be at least 1, got {arguments.list}")
    place, *files = arguments.words
    path, manifest = read_manifest(place)
    result = judge(manifest, read_sessions(manifest, files), rule)
    folder = arguments.output or path.parent
    written = write_results(folder, path.parent / "pictures", manifest, result, arguments.list)
    print_tables(manifest, result, arguments.list)
    for name, file in written.items():
        print(f"{name:<8}{file}")
