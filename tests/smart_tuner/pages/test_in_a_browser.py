"""The pages in a browser: without a network, on a phone, in light and dark, by keyboard alone."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import optuna
import pytest
import soundfile
from finished_evaluation import FAULTS, write_evaluation
from finished_study import HUM, SENTENCE, TOO_HIGH, UNALIGNED, FinishedStudy
from PIL import Image
from spoken_corpus import speech, text_of, write_corpus
from trainer_process import call_main

from smart_tuner.corpus_check import read_check
from smart_tuner.evaluation import read_evaluation
from smart_tuner.pages.corpus_check import write_check_page
from smart_tuner.pages.evaluation import write_evaluation_page
from smart_tuner.pages.listen import open_server
from smart_tuner.pages.page_files import write_audition, write_report
from smart_tuner.pages.ratings import rate
from trainer.evaluation.verdict import Heard
from trainer.protocol import EventWriter, ExitCode

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is on the PATH")

NAME = "a_name_without_any_place_to_break_it_at"
LOST = "the trainer crashed: FileNotFoundError: /home/somebody/corpora/a_folder_of_recordings/wavs/LJ001-0001.wav"
SECOND = "floccinaucinihilipilification"
PAGES = ("report", "audition", "audition as a file", "evaluation", "corpus check")
DESKTOP, PHONE = (1280, 800), (360, 740)
PAGE_CHECKS = Path(__file__).parents[2] / "support/page_checks.js"
HOLD_THE_FIRST_REQUEST = """() => {
  const send = window.fetch;
  window.fetch = (...request) => {
    window.fetch = send;
    return new Promise(free => { window.release = free; }).then(() => send(...request));
  };
}"""
Opened = Callable[..., AbstractContextManager[playwright.Page]]


@pytest.fixture(scope="module")
def media() -> dict[str, bytes]:
    """A picture and a sound by the endings of their files."""
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.new("L", (900, 300), 128).save(picture, "png")
    soundfile.write(sound, [0.0] * 40_000, 4000, format="WAV")  # long enough to be stopped
    return {"png": picture.getvalue(), "wav": sound.getvalue()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, media: dict[str, bytes]) -> FinishedStudy:
    """Three voices, best first 1, 2 and 0, with two sentences each, and words that are hard to break."""
    finished = FinishedStudy(tmp_path_factory.mktemp("study"), {"name": NAME, "description": f"of {LOST}"})
    for loss, lr in ((2.0, 2e-3), (1.5, 1e-3), (1.8, 3e-3)):
        number = finished.complete(loss, lr=lr, spoken=HUM)
        writer = EventWriter(finished.run_dir(number).events)
        for name, text in (("a", SENTENCE), ("b", SECOND)):
            finished.show(number, writer, f"alignments/{name}.png", "alignment", media["png"], text=text)
            finished.show(number, writer, f"samples/{name}.wav", "sample", media["wav"], text=text)
        writer.close()
    rate(finished.study, 1, 4)
    finished.pruned(UNALIGNED)
    finished.pruned(TOO_HIGH, alignment=0.7)
    finished.failed(LOST)
    return finished


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a corpus in which one clip is clipped, one noisy, one missing, and one has a name that is hard to
    break; checked by the trainer itself."""
    folder = tmp_path_factory.mktemp("checked")
    loud, quiet = (speech(text_of(number), number) for number in (2, 3))
    noise = np.random.default_rng(0).normal(0, 0.1, len(quiet)).astype(np.float32)
    corpus = write_corpus(folder / "corpus", 24, {2: (loud * 2.4).clip(-0.8, 0.8), 3: quiet + noise})
    (corpus / "wavs" / "c007.wav").unlink()
    (corpus / "wavs" / "c002.wav").rename(corpus / "wavs" / f"{NAME}.wav")
    listed = corpus / "metadata.csv"
    listed.write_text(listed.read_text().replace("c002|", f"{NAME}|").replace("c003|", f"c003|{SECOND} "))
    config = folder / "config.json"
    config.write_text(json.dumps({"corpus": {"source": str(corpus), "validation_share": 0.4}}))
    assert call_main("corpus-check", "--page", f"--out={folder / 'found'}", str(config)) == ExitCode.FINISHED
    return write_check_page(read_check(folder / "found"), folder / "check.html")


@pytest.fixture(scope="module")
def urls(finished: FinishedStudy, media: dict[str, bytes], checked: Path) -> Iterator[dict[str, str]]:
    folder = finished.workspace / "reports"
    evaluated = write_evaluation(folder / "e", media, [SENTENCE, SECOND], voice=f"{LOST}/{NAME}/best.pt")
    longer = f"smart-tuner optimize --study {NAME} --name {NAME}-longer --set budget.frames=4_000"
    evaluation = write_evaluation_page(replace(read_evaluation(evaluated), longer=longer))
    report = write_report(finished.study, finished.workspace, folder / "r.html", "html")
    audition = write_audition(finished.study, finished.workspace, folder / "a.html", 4)
    with open_server(finished.study, finished.workspace, 4, 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        addresses = (report.as_uri(), server.url, audition.as_uri(), evaluation.as_uri(), checked.as_uri())
        yield dict(zip(PAGES, addresses, strict=True))
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def opened(urls: dict[str, str]) -> Iterator[Opened]:
    """Opens a page; checks at the end that it logged nothing and requested nothing but itself."""
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--mute-audio"]) as browser,
    ):

        @contextmanager
        def open_page(name: str, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Iterator[playwright.Page]:
            requests: list[str] = []
            messages: list[str] = []
            viewport = {"width": size[0], "height": size[1]}
            with browser.new_page(viewport=viewport, color_scheme=scheme, offline=name != "audition") as page:
                page.set_default_timeout(10_000)
                page.add_init_script(path=PAGE_CHECKS)
                page.on("request", lambda request: requests.append(request.url))
                page.on("console", lambda message: messages.append(message.text))
                page.on("pageerror", lambda error: messages.append(str(error)))
                page.goto(urls[name])
                yield page
            own = {urls[name], f"{urls[name]}rating"}
            assert [url for url in requests if url not in own and not url.startswith(("data:", "blob:"))] == []
            assert messages == []

        yield open_page


def focus(page: playwright.Page) -> str:
    name, is_visible = page.evaluate("checks.focus()")
    assert is_visible or not name, f"the focus is not visible: {name}"
    return str(name)


def tabbed(page: playwright.Page, to: str = "") -> list[str]:
    """The names of the elements that Tab moves to, until it is at `to` or leaves the page."""
    found: list[str] = []
    for _ in range(100):
        page.keyboard.press("Tab")
        at = focus(page)
        if at and at not in found[-1:]:  # the browser's own player has several controls
            found.append(at)
        if at == to:
            return found
    raise AssertionError(f"Tab does not get to {to!r}: {found}")


def stored(finished: FinishedStudy, trial: int) -> int | None:
    """The stars as Optuna alone reads them from the store."""
    storage = optuna.storages.RDBStorage(finished.url)
    stars: int | None = optuna.load_study(study_name=NAME, storage=storage).user_attrs[f"rating.{trial}"]
    storage.remove_session()
    storage.engine.dispose()
    return stars


def wait_for_status(page: playwright.Page, text: str) -> None:
    page.get_by_role("status").get_by_text(text, exact=True).wait_for()


@pytest.mark.parametrize(
    ("name", "pictures", "sounds", "charts"),
    [("report", 1, 2, 7), ("audition", 6, 6, 0), ("audition as a file", 6, 6, 0), ("evaluation", 4, 3, 0)],
)
def test_pictures_sounds_and_charts_are_shown_without_a_network(
    opened: Opened, name: str, pictures: int, sounds: int, charts: int
) -> None:
    with opened(name) as page:
        page.wait_for_function("() => [...document.querySelectorAll('audio')].every(audio => audio.duration > 0)")
        assert page.locator("audio").count() == sounds
        assert page.evaluate("[...document.images].map(image => image.naturalWidth)") == [900] * pictures
        drawn = "boxes => boxes.map(box => box.querySelector('svg.main-svg')?.getBoundingClientRect().height ?? 0)"
        heights = page.eval_on_selector_all(".chart", drawn)
        assert len(heights) == charts
        assert all(height > 200 for height in heights)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_on_a_phone(opened: Opened, name: str, scheme: str) -> None:
    with opened(name, PHONE, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert page.evaluate("checks.cutOff()") == []
        assert page.evaluate("checks.pale()") == []
        assert page.evaluate("checks.stuck()") == []
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(253, 253, 251)", "dark": "rgb(23, 25, 28)"}[scheme]


@pytest.mark.parametrize(("name", "boxes"), [("report", 4), ("evaluation", 1)])
def test_commands_wrap_on_a_phone(opened: Opened, name: str, boxes: int) -> None:
    with opened(name, PHONE) as page:
        lines = page.eval_on_selector_all("pre span", "words => words.map(word => word.getClientRects().length)")
        assert set(lines) == {1}, "no option is broken at its hyphens"
        found = page.eval_on_selector_all("pre", "boxes => boxes.map(box => box.scrollWidth - box.clientWidth)")
        assert found == [0] * boxes


def test_all_figures_of_an_evaluation_are_visible_on_a_phone(opened: Opened) -> None:
    with opened("evaluation", PHONE) as page:
        clipped = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).length"
        assert page.eval_on_selector_all(".compared td:not(:empty)", clipped) == 0
        rights = page.eval_on_selector_all(
            ".compared td:not(:empty)", "cells => cells.map(cell => cell.getBoundingClientRect().right)"
        )
        assert rights
        assert max(rights) <= PHONE[0]
        labels = "cells => cells.map(cell => getComputedStyle(cell, '::before').content)"
        distance = page.locator(".compared tbody tr").nth(2).locator("td")
        assert distance.evaluate_all(labels) == ['"this voice"', '"recordings"', '"another sentence"', '"hum"']


@pytest.mark.parametrize(
    ("heard", "token"),
    [(Heard.GOOD, "--accent"), (Heard.PARTS, "--ink"), (Heard.HUM, "--warn"), (Heard.MUTE, "--warn")],
)
def test_the_colour_of_the_figures_follows_the_verdict(
    opened: Opened, finished: FinishedStudy, urls: dict[str, str], media: dict[str, bytes], heard: Heard, token: str
) -> None:
    folder = write_evaluation(finished.workspace / "reports" / heard, media, [SENTENCE], verdict=heard, advice="")
    urls[heard] = write_evaluation_page(read_evaluation(folder)).as_uri()
    with opened(heard) as page:
        page.evaluate("token => document.body.style.outlineColor = `var(${token})`", token)
        wanted = page.evaluate("getComputedStyle(document.body).outlineColor")
        colours = page.eval_on_selector_all("h1, .voice", "all => all.map(one => getComputedStyle(one).color)")
        assert set(colours) == {wanted}


def test_tab_moves_through_the_report_from_top_to_bottom(opened: Opened) -> None:
    sections = ("In short", "The best trial", "Charts", "Cost", "All trials", "Environment")
    columns = ("trial", "outcome", "cause", "heard", "distance", "loss", "alignment", "cost", "stars", "why")
    with opened("report", PHONE) as page:
        assert tabbed(page) == [
            *("Skip to the trials", *sections, f"Sample: {SENTENCE}", f"Sample: {SECOND}"),
            *("Figures of the best trial", "Parameters of the best trial", f"{NAME}-best.yaml"),
            *("Slices", "Parallel coordinates", "All trials", *columns, "Environment"),
        ]


def test_links_of_the_report_move_to_its_sections_and_wide_tables_scroll_by_keyboard(opened: Opened) -> None:
    with opened("report", PHONE) as page:
        tabbed(page, "Skip to the trials")
        page.keyboard.press("Enter")
        assert tabbed(page, "All trials") == ["All trials"]
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => document.activeElement.scrollLeft > 0")
        tabbed(page, "loss")
        page.keyboard.press("Enter")
        assert page.locator("[aria-sort=ascending]").inner_text().startswith("loss")
        assert page.locator(".trials tbody td:first-child").all_inner_texts()[:3] == ["1", "2", "0"]
        page.get_by_role("link", name="Charts").focus()
        page.keyboard.press("Enter")
        assert tabbed(page, "Slices") == ["Slices"]


def test_an_evaluation_shows_the_verdict_then_the_figures_then_what_is_wrong_with_the_worst(opened: Opened) -> None:
    with opened("evaluation", PHONE) as page:
        assert page.locator("h1").inner_text().lower() == "intelligible in parts"
        assert page.locator(".compared tbody tr").nth(2).locator("td").all_inner_texts() == [
            "9.66 dB",
            "1.10 dB",
            "11.90 dB",
            "12.00 dB",
        ]
        assert page.locator("article p.warn").all_inner_texts() == [FAULTS]
        assert page.locator("article").last.locator("p").all_inner_texts()[-1].startswith("It cannot be heard")
        sounds = ["Spoken, sentence 1", "Recorded, sentence 1", "Recorded, sentence 2"]
        assert tabbed(page) == ["Skip to the worst sentences", "Figures", "sentences.csv", *sounds]


def test_one_sound_of_an_evaluation_plays_at_a_time(opened: Opened) -> None:
    with opened("evaluation") as page:
        for name, playing in (("Spoken, sentence 1", [0]), ("Recorded, sentence 1", [1])):
            tabbed(page, name)
            page.keyboard.press("Space")
            page.wait_for_function("playing => String(checks.playing()) === String(playing)", arg=playing)


def test_a_checked_corpus_shows_its_state_then_what_was_found_then_the_worst_clips(opened: Opened) -> None:
    with opened("corpus check", PHONE) as page:
        page.wait_for_function("() => [...document.querySelectorAll('audio')].every(audio => audio.duration > 0)")
        assert page.locator("h1").inner_text().lower() == "unusable as it is"
        assert page.locator("h2").all_inner_texts()[0] == "What was found"
        found = page.locator("section[aria-labelledby=found] h3").all_inner_texts()
        assert any("1 row of 24 cannot be used" in text for text in found)
        assert any("clipped" in text for text in found)
        names = page.locator("article h3").all_inner_texts()
        assert {NAME, "c003"} <= {name.partition(" ")[2] for name in names}
        assert all(width > 0 for width in page.evaluate("[...document.images].map(image => image.naturalWidth)"))
        assert page.locator("audio").count() == page.locator("img").count() == len(names)
        heights = page.eval_on_selector_all(
            ".chart svg.main-svg", "all => all.map(o => o.getBoundingClientRect().height)"
        )
        assert len(heights) >= 4
        sounds = [f"Clip {number}" for number in range(1, len(names) + 1)]
        order = tabbed(page)
        assert order[0] == "Skip to the worst clips"
        assert [name for name in order if name in sounds] == sounds
        assert "Figures of all clips" in order


def test_one_clip_of_a_checked_corpus_plays_at_a_time_and_rows_open_by_keyboard(opened: Opened) -> None:
    with opened("corpus check", PHONE) as page:
        rows = page.locator("summary").nth(1)
        rows.focus()
        page.keyboard.press("Enter")
        assert rows.evaluate("summary => summary.parentElement.open")
        for name, playing in (("Clip 1", [0]), ("Clip 2", [1])):
            tabbed(page, name)
            page.keyboard.press("Space")
            page.wait_for_function("playing => String(checks.playing()) === String(playing)", arg=playing)


def test_tab_moves_through_the_voices_of_an_audition_and_arrows_between_players(opened: Opened) -> None:
    controls = ("Rating of Trial {}", "Sentence 1, Trial {}", "Sentence 2, Trial {}")
    with opened("audition", PHONE) as page:
        in_order = [name.format(trial) for trial in (1, 2, 0) for name in controls]
        assert tabbed(page) == ["Hide which trial is which", *in_order]
        tabbed(page, "Sentence 1, Trial 1")
        visited = []
        for direction in ("Right", "Down", "Down", "Right", "Up", "Left"):
            page.keyboard.press(f"Arrow{direction}")
            visited.append(focus(page).removeprefix("Sentence "))
        assert visited == ["1, Trial 2", "2, Trial 2", "2, Trial 2", "2, Trial 0", "1, Trial 0", "1, Trial 2"]


@pytest.mark.parametrize("name", ["audition", "audition as a file"])
def test_space_plays_one_voice_at_a_time_and_stops_it(opened: Opened, name: str) -> None:
    with opened(name) as page:
        tabbed(page, "Sentence 1, Trial 1")
        for keys, playing in ((["Space"], [0]), (["ArrowRight", "Space"], [2]), (["Space"], [])):
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_function("playing => String(checks.playing()) === String(playing)", arg=playing)
            assert page.locator(".play[aria-pressed=true]").count() == len(playing)


def test_digits_rate_and_the_last_one_is_stored(opened: Opened, finished: FinishedStudy) -> None:
    with opened("audition") as page:
        tabbed(page, "Sentence 2, Trial 2")
        page.evaluate(HOLD_THE_FIRST_REQUEST)
        for digit in "12345":
            page.keyboard.press(digit)
        page.wait_for_timeout(300)
        assert page.get_by_role("status").inner_text() == ""  # none is saved before an earlier one
        page.evaluate("release()")
        wait_for_status(page, "Trial 2: 5 stars, saved.")
        assert stored(finished, 2) == 5
        assert page.get_by_role("group", name="Rating of Trial 2").locator(".on").count() == 5
        page.keyboard.press("0")
        wait_for_status(page, "Trial 2: no rating, saved.")
        assert stored(finished, 2) is None


def test_space_and_arrows_give_stars_and_a_reload_shows_them(opened: Opened, finished: FinishedStudy) -> None:
    with opened("audition") as page:
        tabbed(page, "Rating of Trial 0")
        for key, stars in (("Space", "1 star"), ("ArrowRight", "2 stars"), ("ArrowRight", "3 stars")):
            page.keyboard.press(key)
            wait_for_status(page, f"Trial 0: {stars}, saved.")
        assert stored(finished, 0) == 3
        page.reload()
        assert page.locator("[data-trial='0'] input:checked").get_attribute("value") == "3"


def test_the_blind_mode_hides_which_trial_is_which(opened: Opened, finished: FinishedStudy) -> None:
    with opened("audition") as page:
        tabbed(page, "Hide which trial is which")
        page.keyboard.press("Space")
        assert page.locator("h2").all_inner_texts() == ["Voice A", "Voice B", "Voice C"]
        assert "Trial" not in page.inner_text("main")
        assert page.locator("img:visible, table:visible, .stars .on").count() == 0
        assert tabbed(page, "Sentence 1, Voice C")[-2:] == ["Rating of Voice C", "Sentence 1, Voice C"]
        page.keyboard.press("3")
        wait_for_status(page, "Voice C: 3 stars, saved.")
        assert stored(finished, int(page.locator("article").last.get_attribute("data-trial"))) == 3
        page.locator("#blind").focus()
        page.keyboard.press("Space")
        assert page.locator("h2").all_inner_texts() == ["Trial 1", "Trial 2", "Trial 0"]
