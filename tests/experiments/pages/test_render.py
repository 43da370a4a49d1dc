import base64
import io
import json

import numpy as np
import pytest
import torch
from browser import opened
from jinja2 import UndefinedError
from PIL import Image

from experiments.pages.render import environment, image_uri, render, script_json

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>.png"


def picture(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_a_lossless_picture_comes_back_as_it_was():
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    uri = image_uri(image, lossless=True)
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(picture(uri)), image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("side", "size"), [(None, (60, 40)), (30, (30, 20)), (100, (60, 40))])
def test_a_large_picture_is_reduced_to_the_side_asked_for_and_a_small_one_is_left(side, size):
    uri = image_uri(torch.full((3, 40, 60), 90, dtype=torch.uint8), side=side)
    assert uri.startswith("data:image/jpeg;base64,") and picture(uri).size == size


def test_json_in_a_script_keeps_its_value_and_cannot_end_the_element():
    text = script_json({"name": HOSTILE})
    assert "<" not in text and ">" not in text and json.loads(text) == {"name": HOSTILE}


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json([float("nan")])


def page(body):
    blocks = f"{{% extends 'base.html' %}}{{% block title %}}{{{{ name }}}}{{% endblock %}}{body}"
    return environment().from_string(blocks)


def test_a_hostile_name_is_shown_and_does_nothing(tmp_path):
    template = page(
        "{% block main %}<h1 title='{{ name }}'>{{ name }}</h1>{% endblock %}"
        "{% block script %}<script>const given = {{ name|script_json }};"
        "document.querySelector('main').append(given);</script>{% endblock %}"
    )
    (tmp_path / "page.html").write_text(template.render(name=HOSTILE))
    with opened(tmp_path / "page.html") as shown:
        assert shown.title() == HOSTILE
        assert shown.inner_text("h1") == HOSTILE and shown.inner_text("main").count(HOSTILE) == 2
        assert shown.query_selector("img") is None


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError):
        page("").render()


def test_a_page_comes_from_a_file_beside_the_module():
    assert render("base.html").startswith("<!doctype html>")
