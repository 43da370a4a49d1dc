import pytest

from experiments.arguments import Parser, plain_name
from experiments.errors import UserError


def parser():
    parser = Parser("toy", "A toy.", "chromafill toy a=1")
    parser.add_argument("--size", type=int)
    return parser.overrides()


def test_overrides_and_options_may_be_mixed():
    parsed = parser().parse_args(["a=1", "b.c=[1,2]"])
    assert parsed.overrides == ["a=1", "b.c=[1,2]"]


def test_options_may_stand_between_an_action_and_the_overrides():
    acting = Parser("toy", "A toy.", "chromafill toy look a=1")
    acting.add_argument("action", choices=("look",))
    acting.add_argument("-o")
    parsed = acting.overrides().parse_args(["look", "a=1", "-o", "x", "b=2"])
    assert (parsed.action, parsed.o, parsed.overrides) == ("look", "x", ["a=1", "b=2"])
    assert acting.parse_args(["look", "-o", "x", "a=1"]).overrides == ["a=1"]


def test_a_misspelt_option_names_the_nearest():
    with pytest.raises(UserError, match="^no option '--sise'; nearest: --size$"):
        parser().parse_args(["--sise", "3"])


def test_a_wrong_value_is_a_users_error():
    with pytest.raises(UserError, match="argument --size: invalid int value: 'big'"):
        parser().parse_args(["--size", "big"])


def test_options_are_not_abbreviated():
    with pytest.raises(UserError, match="no option '--si'"):
        parser().parse_args(["--si", "3"])


@pytest.mark.parametrize("name", ["first", "l2_ft", "temperature_0.77", "größe+1", 3, "x" * 100])
def test_a_plain_name_is_taken_as_text(name):
    assert plain_name("name", name) == str(name)


@pytest.mark.parametrize(
    "name", ["../outside", "a/b", "..", ".hidden", "-n", "", None, True, 1.5, "a b", "x" * 101, []]
)
def test_a_name_that_leads_elsewhere_or_is_none_is_refused(name):
    with pytest.raises(
        UserError, match="^name must be a name of letters, digits and . _ . -, the first no sign; got '"
    ):
        plain_name("name", name)
