from experiments.errors import nearest


def test_the_nearest_name_is_offered():
    assert nearest("trian", ["train", "evaluate"]) == "; nearest: train"


def test_everything_is_listed_where_nothing_is_close():
    assert nearest("zzz", ["b", "a"]) == "; there are: a, b"
