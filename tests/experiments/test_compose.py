import pytest

from datamodules.masks.centre import Centre
from datamodules.synthetic import Synthetic
from experiments.compose import build, compose_config, experiments_of, options_of
from experiments.errors import UserError

BASE = ["model=colorful", "data=synthetic"]


def test_a_configuration_is_plain_and_complete():
    config = compose_config([*BASE, "model.width=8", "seed=3"])
    assert config["experiment"] == "custom"
    assert config["model"]["_target_"] == "lightning_modules.colorization.colorful.Colorful"
    assert (config["model"]["width"], config["seed"], config["data"]["masks"]) == (8, 3, None)
    assert type(config["model"]) is dict


def test_an_experiment_sets_model_data_and_length_and_names_the_run():
    config = compose_config(["experiment=quickstart"])
    assert config["experiment"] == "quickstart"
    assert config["data"]["_target_"] == "datamodules.photos.Photos"
    assert config["model"]["_target_"] == "lightning_modules.colorization.colorful.Colorful"


def test_an_experiment_may_be_a_file_anywhere_and_its_overrides_come_after_it(tmp_path):
    path = tmp_path / "my scan.yaml"
    path.write_text(
        "defaults: [{override /model: colorful}, {override /data: photos}]\nmodel: {width: 8}\niterations: 5"
    )
    config = compose_config([f"experiment='{path}'", "model.lr=0.5"])
    assert (config["experiment"], config["iterations"]) == ("my scan", 5)
    assert (config["model"]["width"], config["model"]["lr"]) == (8, 0.5)
    path.write_text(path.read_text().replace("width: 8", "width: 9"))
    assert compose_config([f"experiment='{path}'"])["model"]["width"] == 9
    assert "my scan" not in options_of("experiment")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("quickstart.yaml", "iterations: 5", "there is an experiment 'quickstart' already"),
        ("list.yaml", "[1, 2]", "holds no settings: an experiment file is a mapping"),
        ("broken.yaml", "a: [", "is no YAML"),
        ("gone.yml", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"^{tmp_path / name}: ?.*{message}|^{tmp_path / name} {message}"):
        compose_config([f"experiment={tmp_path / name}"])


def test_masks_are_a_group_inside_data_and_can_be_built():
    config = compose_config([*BASE, "masks@data.masks=centre", "data.masks.side=0.25"])
    data = build(config["data"], "data")
    assert isinstance(data, Synthetic) and data.config.masks == Centre(side=0.25)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.widht=8"], "no setting 'model.widht'; nearest: width"),
        (["data.batchsize=8"], "no setting 'data.batchsize'; nearest: batch_size"),
        (["iteration=8"], "no setting 'iteration'; nearest: iterations"),
        (["trainer.device=1"], "no setting 'trainer.device'; nearest: devices"),
        (["experiment=quickstrat"], "experiment 'quickstrat' not found; nearest: quickstart"),
        (["model=colourful"], "model 'colourful' not found; nearest: colorful"),
        (["data=photo"], "data 'photo' not found; nearest: photos"),
        (["data.croop=1", "data.floop=2", "model.widht=8"], "no setting 'data.croop'; nearest: crop"),
        (["data.masks.side=1"], "'data.masks' has no keys of its own, so 'data.masks.side' cannot be set"),
    ],
)
def test_a_misspelt_key_or_option_names_the_nearest(overrides, message):
    with pytest.raises(UserError) as error:
        compose_config([*BASE, *overrides])
    assert str(error.value) == message


@pytest.mark.parametrize("overrides", [["model.width=wide"], ["iterations=many"], ["iterations=[1"], ["=3"]])
def test_a_value_of_the_wrong_type_or_shape_is_one_line(overrides):
    with pytest.raises(UserError) as error:
        compose_config([*BASE, *overrides])
    assert "\n" not in str(error.value) and len(str(error.value)) > 10


def test_a_file_whose_settings_do_not_fit_another_choice_is_named():
    with pytest.raises(
        UserError, match="^experiment/glcic_photos sets data.masks.side, which RandomRegion has not; .*"
    ):
        compose_config(["experiment=glcic_photos", "masks@data.masks=random_region"])


def test_a_missing_choice_says_what_to_give():
    with pytest.raises(UserError, match="model"):
        compose_config(["data=synthetic"])


def test_only_the_projects_own_classes_are_built():
    with pytest.raises(UserError, match="data._target_ 'os.system' is none of the project's"):
        build({"_target_": "os.system", "command": "true"}, "data")
    with pytest.raises(UserError, match=r"data.masks.parts\[0\]._target_ 'builtins.eval'"):
        build(
            {"_target_": "datamodules.synthetic.Synthetic", "masks": {"parts": [{"_target_": "builtins.eval"}]}}, "data"
        )


def test_a_refused_value_names_its_part_of_the_configuration():
    with pytest.raises(UserError, match="^data: data.crop must be at least 1, got 0$"):
        build(compose_config([*BASE, "data.crop=0"])["data"], "data")


def test_options_come_from_files_and_from_dataclasses():
    assert {"photos", "synthetic", "imagenet", "places"} <= set(options_of("data"))
    assert "quickstart" in options_of("experiment")
    assert "quickstart" in experiments_of("colorful")


@pytest.mark.parametrize("override", ["model.width=a\nb", "a\nb", "=\n", "model.loss=é\n"])
def test_what_was_typed_with_line_breaks_is_quoted_without_them(override):
    with pytest.raises(UserError) as error:
        compose_config([*BASE, override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": "wide"}, "model: Value 'wide' of type 'str' could not be converted to Integer"),
        ({"width": 10**9}, "model: .*(memory|[Ss]torage|size)"),
        ({"depth": 1}, "model: Key 'depth' not in 'ColorfulConfig'"),
    ],
)
def test_settings_that_were_not_composed_are_checked_where_they_are_used(settings, message):
    with pytest.raises(UserError, match=message):
        build(compose_config(BASE)["model"] | settings, "model")
