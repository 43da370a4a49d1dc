import pytest

from experiments.arguments import Parser
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
