"""Search spaces: what is read, what is refused, and what Optuna gets of it."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from experiments.compose import compose_config, settings_given
from experiments.errors import UserError
from experiments.studies.space import FOLDER, check_space, distributions_of, grid, override, pruner_of, read_space

WHOLE = (
    "{method: random, trials: 3, objective: {score: val/psnr, direction: maximize},"
    " space: {model.lr: {low: 1e-5, high: 1e-3}}}"
)
MEANT_FOR = {
    "colorful": ["colorful_photos", "colorful_synthetic"],
    "context_encoder": ["context_encoder_photos", "context_encoder_synthetic"],
    "glcic": ["glcic_photos", "glcic_synthetic"],
}


def written(folder, text):
    path = folder / "space.yaml"
    path.write_text(text)
    return str(path)


def space(folder, text):
    """The space of a file that is otherwise right."""
    return read_space(written(folder, WHOLE.replace("{model.lr: {low: 1e-5, high: 1e-3}}", text)))


def test_every_file_says_which_experiments_it_is_for():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(MEANT_FOR)


@pytest.mark.parametrize(("name", "experiment"), [(name, each) for name, some in MEANT_FOR.items() for each in some])
def test_a_file_fits_its_experiments(name, experiment):
    found = read_space(name)
    config = check_space(found, [f"experiment={experiment}"])
    assert config["experiment"] == experiment
    assert set(distributions_of(found | {"kind": "sweep"})) == set(found["space"])


def test_ranges_become_distributions(tmp_path):
    text = "{a: {low: 1e-5, high: 1e-3, log: true}, b: {low: 1, high: 8, step: 2}, c: {choices: [x, null, 0.5]}}"
    found = space(tmp_path, text)
    assert distributions_of(found | {"kind": "sweep"}) == {
        "a": FloatDistribution(1e-5, 1e-3, log=True),
        "b": IntDistribution(1, 7, step=2),
        "c": CategoricalDistribution(["x", None, 0.5]),
    }


def test_an_ablation_samples_nothing():
    assert distributions_of({"kind": "ablation"}) == {}


def test_a_grid_has_every_combination(tmp_path):
    found = space(tmp_path, "{a: {choices: [x, y]}, b: {low: 0.1, high: 0.3, step: 0.1}}")
    points = grid(found["space"])
    assert len(points) == 6 and points[0] == {"a": "x", "b": 0.1} and points[-1] == {"a": "y", "b": pytest.approx(0.3)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected `space:` with config keys and their ranges"),
        (WHOLE.replace("trials", "trial"), "no setting 'trial'; nearest: trials"),
        (WHOLE.replace("random", "bayes"), "method must be one of grid, random, tpe; got bayes"),
        (WHOLE.replace("maximize", "up"), "objective.direction must be one of maximize, minimize; got up"),
        (WHOLE.replace("direction: maximize", "to: up"), "objective must be {score: val/..., direction: maximize}"),
        (WHOLE.replace("trials: 3", "pruning: mean"), "pruning must be one of none, median, hyperband; got mean"),
        (WHOLE.replace("trials: 3", "pruning: {warm: 3}"), "pruning: no setting 'warm'; nearest: warmup"),
        (WHOLE.replace("low: 1e-5", "choices: [1]"), "space.model.lr: expected {choices: [...]} or {low: x, high: y}"),
        (WHOLE.replace("low: 1e-5", "low: small"), "space.model.lr: low and high must be numbers, got small and"),
        (WHOLE.replace("low: 1e-5", "low: 1"), "space.model.lr: "),
        (WHOLE.replace("high: 1e-3", "high: 1, lg: true"), "space.model.lr: no setting 'lg'; nearest: log"),
        (WHOLE.replace("low: 1e-5, high: 1e-3", "choices: []"), "choices must be a list of plain values, got []"),
        (WHOLE.replace("random", "grid"), "space.model.lr: a grid needs choices, or low and high with a step"),
        (WHOLE.replace("low: 1e-5", "low: .nan"), "space.model.lr: low and high must be numbers, got nan and 0.001"),
        (WHOLE.replace("1e-3", "1e-3, step: 0"), "space.model.lr: step must be a number above 0, got 0"),
        (WHOLE.replace("1e-3", "1e-3, step: x"), "space.model.lr: step must be a number above 0, got x"),
        (WHOLE.replace("1e-3", "1e-3, step: 0").replace("random", "grid"), "step must be a number above 0, got 0"),
        (WHOLE.replace("1e-3", "1e-3, log: maybe"), "space.model.lr: log must be true or false, got maybe"),
        (
            WHOLE.replace("low: 1e-5, high: 1e-3", "choices: [.nan]"),
            "choices must be a list of plain values, got [nan]",
        ),
        (WHOLE.replace("val/psnr", "3"), "objective.score must be a validation score such as val/psnr, got 3"),
        (WHOLE.replace("trials: 3", "seed: x"), "seed must be a whole number from 0 on, got x"),
        (
            WHOLE.replace("trials: 3", "pruning: {warmup: -5}"),
            "pruning.warmup must be a whole number from 0 on, got -5",
        ),
        (WHOLE.replace("trials: 3", "pruning: {startup_trials: few}"), "pruning.startup_trials must be a whole number"),
        ("a: [", "space.yaml cannot be read: "),
    ],
)
def test_a_mistake_in_a_file_is_one_line(text, message, tmp_path):
    with pytest.raises(UserError) as error:
        read_space(written(tmp_path, text))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_file_names_the_nearest():
    with pytest.raises(UserError, match="sweep 'colourful' not found; nearest: colorful"):
        read_space("colourful")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{model.rate: {choices: [1]}}", "space: no setting 'model.rate'; nearest: model.width"),
        ("{model.rebalance_lambda: {low: 0.5, high: 1.5}}", "space.model.rebalance_lambda = 1.5: model: model.rebal"),
        ("{data.batch_size: {low: 0, high: 4}}", "space.data.batch_size = 0: data: data.batch_size must be at least 1"),
        ("{model.loss: {choices: [class, l3]}}", "space.model.loss = l3: model: model.loss must be one of"),
    ],
)
def test_a_space_that_the_experiment_refuses_is_found_before_any_trial(text, message, tmp_path):
    with pytest.raises(UserError) as error:
        check_space(space(tmp_path, text), ["experiment=colorful_photos"])
    assert message.split(";")[0] in str(error.value)


@pytest.mark.parametrize("value", [1e-5, 3, True, None, "plain", "it's a \\ [b], c=d", "a b", "", "1e-3", "null"])
def test_an_override_is_read_back_as_it_was(value):
    assert settings_given([override("key", value)]) == {"key": value}


def test_an_override_reaches_the_configuration():
    config = compose_config(["experiment=colorful_photos", override("run_dir", "a dir/it's")])
    assert config["run_dir"] == "a dir/it's"


def test_pruners_compare_at_validations():
    lengths = {"validate_every": 50, "iterations": 400}
    median = pruner_of({"pruning": {"method": "median", "startup_trials": 2, "warmup": 100}} | lengths)
    assert isinstance(median, optuna.pruners.MedianPruner)
    assert (median._n_startup_trials, median._n_warmup_steps, median._interval_steps) == (2, 100, 50)
    hyperband = pruner_of({"pruning": {"method": "hyperband"}} | lengths)
    assert (hyperband._min_resource, hyperband._max_resource) == (50, 400)
    assert isinstance(pruner_of({}), optuna.pruners.NopPruner)
