"""The page of a Turing test in a real browser, played by participants who know the truth from the manifest."""

import json
from collections import Counter

import numpy as np
import pytest
from browser import colours, opened, seen
from PIL import Image
from turing_studies import GREY, HOLES, SMALL, Player, run

COVER_ONCE = """() => new MutationObserver((_, observer) => {  // when the next left picture appears
  if (at("left").classList.contains("hide") || !at("trial").checkVisibility() || !session.open) return;
  observer.disconnect();
  document.dispatchEvent(new Event("visibilitychange"));
}).observe(at("left"), {attributes: true})"""
WATCH = """() => { window.log = []; const look = time => {
  log.push([time, ...["left", "right"].map(id => getComputedStyle(at(id)).visibility === "visible")]);
  if (log.length < 400) requestAnimationFrame(look); }; requestAnimationFrame(look); }"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "study"
    run("make", *GREY, *SMALL, "-o", folder)
    return folder


@pytest.fixture(scope="module")
def manifest(study):
    return json.loads((study / "manifest.json").read_text())


@pytest.fixture(scope="module")
def tab(study):
    """One tab for all tests: starting a browser takes longer than a session."""
    with opened(study / "page-1.html") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        yield page


@pytest.fixture
def shown(tab, study):
    """The page as somebody opens it for the first time, on a screen of 1280 x 900."""
    return opened_anew(tab, study)


def opened_anew(tab, study, width=1280, height=900):
    tab.set_viewport_size({"width": width, "height": height})
    tab.goto((study / "page-1.html").as_uri())
    tab.evaluate("localStorage.clear()")
    tab.reload()
    return tab


def some(count, manifest):
    """Fooled by `count` of the photographs that take turns, by no other."""
    turns = [pair["id"] for pair in manifest["pages"][0]["pairs"] if pair["role"] == "scored"]
    return lambda pair: pair["id"] in turns[:count]


# Who sees what


def test_a_participant_sees_the_page_and_then_the_pictures_of_the_study(tab, tmp_path):
    long = [*SMALL, "--exposure", "30"]
    run("make", *GREY, *long, "-o", tmp_path / "study")
    page = opened_anew(tab, tmp_path / "study")
    assert seen(page).shape == (900, 1280, 3) and colours(seen(page)) > 50
    Player(page, json.loads((tmp_path / "study" / "manifest.json").read_text()), None).start("anna")
    page.wait_for_function("getComputedStyle(at('left')).visibility == 'visible'")
    name = page.evaluate("session.open")["left"]
    picture = np.asarray(Image.open(tmp_path / "study" / "pictures" / f"1-{name}.png").convert("RGB"))
    box = page.locator("#left").bounding_box()
    top, left = round(box["y"]), round(box["x"])
    assert colours(picture) > 20 and np.array_equal(seen(page)[top : top + 32, left : left + 32], picture)


def test_every_session_has_the_trials_of_the_design_in_an_order_of_its_own(shown, manifest):
    roles = {pair["id"]: pair["role"] for pair in manifest["pages"][0]["pairs"]}
    plans = shown.evaluate("Array.from({length: 200}, (_, n) => plan(`p${n}`))")
    for plan in plans:
        assert Counter(roles[trial["pair"]] for trial in plan["main"]) == {"scored": 9, "catch": 1}
        assert {roles[trial["pair"]] for trial in plan["practice"]} == {"practice"} and len(plan["practice"]) == 2
        assert {roles[trial["pair"]] for trial in plan["spare"]} == {"scored"}
        every = [trial["pair"] for part in plan.values() for trial in part]
        assert len(every) == len(set(every)) == 20
    assert len({json.dumps(plan) for plan in plans}) == 200


def test_photographs_places_and_sides_are_even_over_participants(shown, manifest):
    fake = {pair["id"]: pair["pictures"][pair["fake"]] for pair in manifest["pages"][0]["pairs"]}
    catch = next(pair["id"] for pair in manifest["pages"][0]["pairs"] if pair["role"] == "catch")
    plans = shown.evaluate("Array.from({length: 1000}, (_, n) => plan(`p${n}`).main)")
    chosen = Counter(trial["pair"] for plan in plans for trial in plan)
    assert chosen.pop(catch) == 1000
    assert len(chosen) == 17 and all(abs(count - 1000 * 9 / 17) < 80 for count in chosen.values())  # 5 sigma
    left = [trial["left"] == fake[trial["pair"]] for plan in plans for trial in plan]
    assert abs(sum(left) / len(left) - 0.5) < 0.025  # 5 sigma of 10,000 coins
    of_catch = [trial["left"] == fake[catch] for plan in plans for trial in plan if trial["pair"] == catch]
    assert abs(sum(of_catch) / 1000 - 0.5) < 0.08
    places = Counter(number for plan in plans for number, trial in enumerate(plan) if trial["pair"] == catch)
    assert len(places) == 10 and max(places.values()) < 160


def test_a_plan_depends_on_the_name_alone(shown, study):
    once = shown.evaluate("plan('anna')")
    assert shown.evaluate("plan('anna')") == once != shown.evaluate("plan('Anna')")
    shown.reload()
    assert shown.evaluate("plan('anna')") == once


# A session


@pytest.mark.parametrize(("width", "height", "by"), [(1280, 900, "keyboard"), (390, 844, "mouse")])
def test_a_session_gives_the_answers_that_were_played(tab, study, manifest, tmp_path, width, height, by):
    page = opened_anew(tab, study, width, height)
    player = Player(page, manifest, some(9, manifest), by)
    answers = player.play("anna-1")
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "answers.json")
    assert download.value.suggested_filename == "answers-anna-1.json"
    assert json.loads((tmp_path / "answers.json").read_text()) == answers
    page.click("#copy")
    page.wait_for_selector("#copied:not(:empty)")
    assert json.loads(page.evaluate("at('answers').value.slice(at('answers').selectionStart)")) == answers
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert (answers["study"], answers["page"], answers["participant"]) == (manifest["study"], 1, "anna-1")
    assert answers["window"] == {"width": width, "height": height, "ratio": 1} and answers["finished"]
    assert [trial["practice"] for trial in answers["trials"]] == [True] * 2 + [False] * 10
    assert {trial["by"] for trial in answers["trials"]} == {by}
    for trial in answers["trials"]:
        pair = player.pairs[trial["pair"]]
        assert (trial[trial["answer"]] != pair["pictures"][pair["fake"]]) == player.fooled(pair)
        assert trial["void"] is None and trial["response"] > 0 and trial["side"] == 32


def test_a_tap_answers_on_a_phone(tab, study, manifest):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    context = tab.context.browser.new_context(**phone, device_scale_factor=2)
    page = context.new_page()
    page.goto((study / "page-1.html").as_uri())
    player = Player(page, manifest, lambda pair: False, "tap")
    player.start("touch")
    while len(page.evaluate("session.trials")) < 4:
        player.step()
    session = page.evaluate("session")
    context.close()
    assert {trial["by"] for trial in session["trials"]} == {"touch"} and session["window"]["ratio"] == 2


def test_on_a_phone_both_pictures_are_scaled_alike_and_in_sight(tab, tmp_path):
    run("make", *GREY, *SMALL, "--side", "256", "-o", tmp_path / "study")
    page = opened_anew(tab, tmp_path / "study", width=390, height=844)
    page.click("#begin button")
    page.wait_for_selector("#say-left:visible")
    left, right = (page.locator(selector).bounding_box() for selector in ("#left", "#right"))
    assert left["width"] == right["width"] == left["height"] == right["height"] > 160
    assert left["y"] == right["y"] and right["x"] + right["width"] <= 390
    opened_anew(tab, tmp_path / "study").click("#begin button")
    page.wait_for_selector("#say-left:visible")
    assert page.locator("#left").bounding_box()["width"] == 256


def test_pictures_are_shown_one_after_the_other_for_the_time_asked_for(tab, tmp_path):
    run("make", *GREY, *SMALL, "--exposure", "1", "--pause", "0.1", "-o", tmp_path / "study")
    page = opened_anew(tab, tmp_path / "study")
    page.evaluate(WATCH)
    page.click("#begin button")
    page.keyboard.press("ArrowLeft")  # before the question: no answer
    page.wait_for_selector("#say-left:visible")
    log, trial = page.evaluate("log"), page.evaluate("session.open")
    assert not any(left and right for _, left, right in log)
    for place, recorded in enumerate(trial["exposure"]):
        times = [row[0] for row in log if row[1 + place]]
        assert 0.99 < recorded < 1.25  # frames of a machine that is busy come late
        assert (times[-1] - times[0]) / 1000 == pytest.approx(recorded, abs=0.1)
    first_right = next(time for time, _, right in log if right)
    last_left = [time for time, left, _ in log if left][-1]
    assert 0.19 < (first_right - last_left) / 1000 < 0.5


def test_a_button_can_be_reached_and_pressed_with_the_keyboard_alone(shown, manifest):
    Player(shown, manifest, lambda pair: False).start("anna")
    shown.wait_for_selector("#say-left:visible")
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    shown.wait_for_selector("#next:not(.hide)")
    assert shown.evaluate("session.trials.map(trial => [trial.answer, trial.by])") == [["left", "keyboard"]]


def test_practice_tells_the_truth_and_later_trials_tell_nothing(shown, manifest):
    player = Player(shown, manifest, lambda pair: False)
    player.start("anna")
    shown.wait_for_selector("#say-left:visible")
    player.answer()
    shown.wait_for_selector("#next:not(.hide)")
    trial = shown.evaluate("session.trials[0]")
    other = {"left": "right", "right": "left"}[trial["answer"]]
    assert shown.inner_text("#line") == "Right: that is the fake."
    assert shown.inner_text(f"#is-{trial['answer']}") == "fake" and shown.inner_text(f"#is-{other}") == "real"
    shown.click("#next button")
    shown.wait_for_selector("#say-left:visible")
    player.fooled = lambda pair: True
    player.answer()
    shown.wait_for_selector("#next:not(.hide)")
    assert shown.inner_text("#line") == "No: the one you chose is real."
    while player.step():
        assert not shown.locator("#next").is_visible() or len(shown.evaluate("session.trials")) <= 2


def test_the_pair_in_sight_when_the_tab_is_covered_is_replaced(shown, manifest):
    player = Player(shown, manifest, lambda pair: False)
    player.start("anna")
    while len(shown.evaluate("session.trials")) < 2:
        player.step()
    shown.wait_for_selector("#next:not(.hide)")
    shown.evaluate(COVER_ONCE)
    while player.step():
        pass
    trials = json.loads(shown.input_value("#answers"))["trials"][2:]
    (void,) = [trial for trial in trials if trial["void"]]
    counted = [trial["pair"] for trial in trials if not trial["void"]]
    assert (void["void"], void["answer"]) == ("hidden", None) and len(counted) == len(set(counted)) == 10
    assert (void["pair"] in counted) == (player.pairs[void["pair"]]["role"] == "catch")


def test_a_session_goes_on_after_a_reload_without_the_pair_that_was_seen(shown, manifest):
    player = Player(shown, manifest, some(9, manifest))
    player.start("anna")
    while len(shown.evaluate("session.trials")) < 6:
        player.step()
    before = shown.evaluate("session")
    shown.wait_for_selector("#say-left:visible")
    seen = shown.evaluate("session.open.pair")
    shown.reload()
    assert shown.inner_text("#resume p").startswith("The session of anna was interrupted after 6 pairs.")
    shown.click("#resume button.main")
    while player.step():
        pass
    answers = json.loads(shown.input_value("#answers"))
    assert answers["session"] == before["session"] and answers["trials"][:6] == before["trials"]
    assert (answers["trials"][6]["pair"], answers["trials"][6]["void"]) == (seen, "reload")
    assert len({trial["pair"] for trial in answers["trials"] if not trial["void"]}) == 12
    shown.reload()
    assert json.loads(shown.input_value("#answers")) == answers  # the end is kept as well
    with shown.expect_navigation():
        shown.click("#end .forget")
    assert shown.locator("#begin").is_visible() and shown.evaluate("session") is None  # for another participant


def test_the_page_works_where_the_browser_keeps_nothing(tab, study, manifest):
    context = tab.context.browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }})")
    page = context.new_page()
    page.goto((study / "page-1.html").as_uri())
    assert page.locator("#unkept").is_visible()
    player = Player(page, manifest, lambda pair: False)
    player.start("anna")
    while len(page.evaluate("session.trials")) < 3:
        player.step()
    context.close()


def test_a_name_that_is_no_part_of_a_file_name_is_not_taken(shown):
    for name in ("", "anna maria", "../x", "<b>"):
        shown.fill("#participant", name)
        shown.click("#begin button")
        assert shown.locator("#welcome").is_visible() and shown.evaluate("session") is None


def test_a_page_of_holes_asks_for_the_fake_and_not_for_colours(tab, tmp_path):
    run("make", *HOLES, *SMALL, "-o", tmp_path / "study")
    page = opened_anew(tab, tmp_path / "study")
    assert "A part of the other was made by a computer program" in page.inner_text("#welcome")
    assert "colours" not in page.inner_text("#welcome")
    page.click("#begin button")
    page.wait_for_selector("#say-left:visible")
    assert page.inner_text("#line") == "Which one was the fake?"
