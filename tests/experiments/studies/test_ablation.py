"""Ablation files: every row composes or says why not, and files of users are checked."""

import pytest

from experiments.compose import compose_config, options_of
from experiments.config_store import papers, targets
from experiments.errors import UserError
from experiments.evaluation.candidates import Candidate, set_decoder
from experiments.evaluation.metrics import METRICS
from experiments.studies.ablation import (
    FOLDER,
    chosen,
    experiment_for,
    last_checkpoint,
    plan,
    read_ablation,
    spec_of,
    task_of_config,
)
from experiments.verbs.config import build_settings

ABLATIONS = [path.stem for path in sorted(FOLDER.glob("*.yaml"))]
SMALL = {"context_encoder_features": "context_encoder_features_synthetic"}  # which does not fit into the photographs
WITH_EXPERIMENTS = [
    (name, experiment)
    for name in ABLATIONS
    for experiment in (read_ablation(name).experiment, SMALL.get(name, f"{name}_photos"))
]
FILE = """
experiment: colorful_synthetic
protocol: colorization_default
base: full
rows:
  full: {group: loss}
  l2: {group: loss, overrides: [model.loss=l2]}
"""


def written(folder, text):
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


def test_every_paper_that_scores_pictures_has_an_ablation():
    assert set(ABLATIONS) == {name for name, (task, _) in papers().items() if task in METRICS}


@pytest.mark.parametrize("name, experiment", WITH_EXPERIMENTS)
def test_every_row_composes_with_the_full_recipe_and_the_small_one_or_is_known_not_to_run(name, experiment):
    ablation = read_ablation(name)
    planned = plan(list(ablation.rows.values()), [f"experiment={experiment}"])
    assert [each.reason for each in planned] == [row.cannot or None for row in ablation.rows.values()]
    assert planned[0].row.name == ablation.base and planned[0].trained
    assert sum(each.trained for each in planned) >= 4


@pytest.mark.parametrize("name", ABLATIONS)
def test_rows_that_are_decoded_alone_fit_the_settings_of_their_paper(name):
    ablation = read_ablation(name)
    config = compose_config([f"experiment={ablation.experiment}"])
    settings = build_settings(config["model"])

    class Module:
        cfg, decoding = settings, targets()[config["model"]["_target_"]].decoding

    for row in ablation.rows.values():
        module = Module()
        set_decoder(Candidate(name=row.name, task="", module=module), row.decoder)
        assert (module.cfg != settings) == bool(row.decoder)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_names_a_protocol_and_metrics_of_its_task(name):
    ablation = read_ablation(name)
    task = task_of_config(compose_config([f"experiment={ablation.experiment}"]))
    assert ablation.protocol in options_of("protocol")
    for row in ablation.rows.values():
        # What is measured here has the metric's name, and what is not brings its unit along as text.
        assert all((what in METRICS[task]) == isinstance(value, float) for what, value in row.published.items())
        assert not row.published or row.source


def test_numbers_of_table_1_of_colorful_are_those_of_the_paper():
    rows = read_ablation("colorful").rows
    published = {name: tuple(rows[name].published.values())[:3] for name in ("full", "class", "l2", "l2_ft")}
    assert published == {
        "full": (89.5, 67.3, 56.0),
        "class": (91.6, 65.1, 56.6),
        "l2": (91.2, 64.4, 54.9),
        "l2_ft": (91.5, 66.2, 56.5),
    }


def test_numbers_that_were_not_read_in_their_source_carry_that_mark():
    marked = {(name, row.name) for name in ABLATIONS for row in read_ablation(name).rows.values() if row.from_memory}
    assert marked == {("context_encoder", "reconstruction")}


def test_the_experiment_is_that_of_the_paper_on_the_data_or_the_full_recipe_with_other_data():
    colorful = read_ablation("colorful")
    assert experiment_for(colorful) == ["experiment=colorful_imagenet"]
    assert experiment_for(colorful, "photos") == ["experiment=colorful_photos"]
    assert experiment_for(colorful, "folder") == ["experiment=colorful_imagenet", "data=folder"]
    assert experiment_for(read_ablation("glcic"), "shards") == ["experiment=glcic_places", "data=shards"]
    with pytest.raises(UserError, match="data 'folders' not found; nearest: folder"):
        experiment_for(read_ablation("glcic"), "folders")


def test_a_row_with_the_settings_of_one_before_it_is_not_trained_again():
    # Photographs have no labels, so that the small experiment has no classifier to leave out.
    ablation = read_ablation("let_there_be_color")
    rows = chosen(ablation, ["no_classification", "rgb"])
    planned = plan(rows, ["experiment=let_there_be_color_photos"])
    assert [(each.row.name, each.same_as) for each in planned] == [
        ("full", None),
        ("no_classification", "full"),
        ("rgb", None),
    ]


def test_a_row_that_does_not_compose_says_why_and_the_others_run(tmp_path):
    text = FILE + "  wrong: {group: loss, overrides: [model.loss=huber]}\n"
    planned = plan(list(read_ablation(written(tmp_path, text)).rows.values()), ["experiment=colorful_synthetic"])
    assert [each.trained for each in planned] == [True, True, False]
    assert planned[2].reason == "model: model.loss must be one of class, l2; got 'huber'"


def test_picked_rows_bring_the_base_and_what_they_build_on():
    colorful = read_ablation("colorful")
    assert [row.name for row in chosen(colorful, ["l2"])] == ["full", "l2"]
    assert [row.name for row in chosen(read_ablation("glcic"), ["postprocessed"])] == ["both", "postprocessed"]
    with pytest.raises(UserError, match="rows: colorful has no row 'clas'; nearest: class"):
        chosen(colorful, ["clas"])


def test_a_row_that_starts_from_another_starts_from_that_of_its_seed(tmp_path):
    spec = spec_of(read_ablation("colorful").rows["l2_ft"], 2, tmp_path)
    start = last_checkpoint(tmp_path, "full", 2)
    assert spec.name == "l2_ft-seed2" and spec.attrs == {"row": "l2_ft", "seed": 2}
    assert spec.overrides == ["model.loss=l2", "seed=2", f"model.init_from={start}"]
    assert start == tmp_path / "runs" / "full-seed2" / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("base: full", "base: l2", "base must name the first row"),
        ("base: full", "start: full", "must have the keys base, experiment, protocol, rows"),
        ("{group: loss}", "{}", "row 'full' needs a group"),
        ("overrides:", "override:", "row 'l2' has no key 'override'; nearest: overrides"),
        ("overrides: [model.loss=l2]", "of: full", "row 'l2': of and decoder go together"),
        ("overrides: [model.loss=l2]", "start_from: all", "start_from must name a row that is trained, got 'all'"),
        ("rows:", "rows: [", "own.yaml cannot be read"),
        ("overrides: [model.loss=l2]", "overrides: model.loss=l2", "overrides must be a list of key=value, got 'model"),
        ("overrides: [model.loss=l2]", "claim: 3", "row 'l2': claim must be text, got 3"),
        (
            "{group: loss, overrides: [model.loss=l2]}",
            "3",
            "row 'l2' must have keys such as group and overrides, got 3",
        ),
        ("l2:", "../l2:", "a row must be a name of letters, .*; got '../l2'"),
        ("l2:", "null:", "a row must be a name of letters, .*; got 'None'"),
        (
            "colorization_default",
            "colorization_defalt",
            "protocol 'colorization_defalt' not found; nearest: colorization",
        ),
        ("colorization_default", "glcic_places", "'glcic_places' is for inpainting, and colorful_synthetic trains for"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_row(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        read_ablation(written(tmp_path, FILE.replace(old, new, 1)))


def test_a_decoder_that_the_paper_does_not_have_is_told_before_anything_trains(tmp_path):
    text = FILE + "  warm: {group: t, of: full, decoder: {temprature: 1.0}}\n"
    text += "  odd: {group: t, of: full, decoder: {temperature: -1}}\n"
    planned = plan(list(read_ablation(written(tmp_path, text)).rows.values()), ["experiment=colorful_synthetic"])
    assert planned[2].reason == "no setting 'model.temprature'; nearest: temperature"
    assert planned[3].reason.startswith("model: model.temperature must")


def test_an_ablation_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="no ablation 'colourful'; nearest: colorful"):
        read_ablation("colourful")
    with pytest.raises(UserError, match="no ablation file mine.yaml"):
        read_ablation("mine.yaml")


def test_an_experiment_without_pictures_to_score_is_refused():
    with pytest.raises(UserError, match="an ablation scores pictures; scene_parser_sun trains for segmentation"):
        task_of_config(compose_config(["experiment=scene_parser_sun"]))
