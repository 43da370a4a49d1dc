"""Whatever words are typed as settings: a configuration, or UserError with one line."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.compose import compose_config
from experiments.errors import UserError

RANDOM = settings(max_examples=40, deadline=None, derandomize=True)
KEYS = (
    "seed",
    "iterations",
    "experiment",
    "model",
    "data",
    "model.width",
    "model.loss",
    "model.prior",
    "model._target_",
)
KEYS += (
    "data.crop",
    "data.masks",
    "masks@data.masks",
    "trainer",
    "trainer.devices",
    "run_dir",
    "logger",
    "x",
    "model.x.y",
)
names = st.one_of(st.sampled_from(KEYS), st.text(string.ascii_letters + "._@/:-$", max_size=12), st.text(max_size=6))
scalars = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["null", "true", "???", "${seed}", "${x.y}", "${oc.env:HOME}", "colorful", "synthetic", "''", '"a']
    ),
)
texts = st.one_of(scalars, st.text(max_size=12))
values = st.recursive(
    texts,
    lambda inside: st.one_of(
        st.lists(inside, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
        st.dictionaries(names, inside, max_size=3).map(
            lambda parts: "{" + ",".join(f"{key}: {value}" for key, value in parts.items()) + "}"
        ),
    ),
    max_leaves=6,
)
words = st.builds("{}{}{}{}".format, st.sampled_from(["", "", "+", "++", "~"]), names, st.sampled_from("== "), values)


@RANDOM
@given(st.lists(words, min_size=1, max_size=3), st.sampled_from(["train", "dataset"]))
def test_any_words_make_a_configuration_or_one_line(overrides, name):
    try:
        config = compose_config(
            ["model=colorful", "data=synthetic", *overrides] if name == "train" else overrides, name
        )
    except UserError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert type(config) is dict and "data" in config


@RANDOM
@given(st.sampled_from(["width", "lr", "loss", "affine_norm", "prior", "neighbours"]), scalars)
def test_a_value_of_a_setting_is_taken_as_its_type_or_refused_with_its_name(key, value):
    try:
        taken = compose_config(["model=colorful", "data=synthetic", f"model.{key}={value}"])["model"][key]
    except UserError as error:
        assert str(error) and "\n" not in str(error)
    else:
        kinds = {"width": int, "lr": float, "loss": str, "affine_norm": bool, "prior": str | None, "neighbours": int}
        assert isinstance(taken, kinds[key])
