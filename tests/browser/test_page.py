"""The page of `python -m transferlab report`, opened in Chromium."""

import base64
from pathlib import Path

import pytest
from support.chromium import Browser
from support.stores import finish, planned

from transferlab import results
from transferlab.results import catalogue
from transferlab.results.page import report

LABELS = ("baseB", "A1B", "B1B", "A1B+", "B1B+", "A2B", "B2B", "A10B")
WIDTHS = (360, 1280)
TABLE = "document.querySelector('#runs table')"
COLUMN = f"""
const heads = [...{TABLE}.tHead.rows[0].cells];
const column = heads.findIndex((head) => head.textContent === arguments[0]);
"""
CELLS = COLUMN + f"return [...{TABLE}.tBodies[0].rows].map((row) => row.cells[column].textContent);"
SORTS = COLUMN + "return heads.map((head) => head.ariaSort).filter((sort) => sort !== 'none');"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished small store, one that is half finished with a name that is none, the paper's."""
    folder = tmp_path_factory.mktemp("pages")
    small, half = folder / "small", folder / "<img src=x onerror=alert(1)>&'"
    for number, label in enumerate(LABELS):
        finish(small, label, 0.8 - number / 20)
    planned(half, "quick", "A1B", "B1B", "A2B")
    finish(half, "baseB", 0.8)
    several = folder / "several"
    tiny = {"data.name": "image_folder", "data.root": "/data/tiny-imagenet-32"}
    for images in ({}, tiny | {"data.digest": "e" * 64}):
        natural = {"split.name": "manmade_natural", "split.seed": None}
        for label in ("baseA", "baseB", "A3B", "B3A", "B3B", "A3B+"):
            finish(several, label, 0.7, images | natural)
            finish(several, label, 0.8, images)
            finish(several, label, 0.75, images, split=1)
    stores = {
        "small": small, "half": half, "several": several, "published": "published:yosinski2014"
    }  # fmt: skip
    made = {}
    for name, store in stores.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(report.page(results.load(store)))
    return made


# --- nothing but the file ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "half", "published"])
def test_it_opens_without_an_error_or_a_request(
    browser: Browser, pages: dict[str, Path], name: str
):
    browser.open(pages[name])

    assert browser.run("return document.querySelectorAll('main section').length") == (
        len(report.section_names()) + 3
    )
    assert browser.console() == []
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert asked == [pages[name].as_uri()]


def test_what_a_store_says_is_not_carried_out(browser: Browser, pages: dict[str, Path]):
    browser.open(pages["half"])

    assert browser.run("return document.images.length") == 0
    shown = browser.run("return document.querySelector('.store').textContent")
    assert shown.endswith("<img src=x onerror=alert(1)>&'")


def test_its_policy_stops_a_script_and_a_request_that_got_in(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
):
    """So the tests above would see one, and a mistake of ours would do no harm."""
    foreign = (
        "<script>document.title = 'mine'</script><img src='http://127.0.0.1:9/a.png'>"
        "<link rel='stylesheet' href='http://127.0.0.1:9/a.css'>"
    )
    page = tmp_path / "page.html"
    page.write_text(pages["small"].read_text().replace("<main>", f"<main>{foreign}"))

    browser.open(page)

    assert browser.run("return document.title").endswith("layer by layer?")
    refused = [words for words in browser.console() if "Content Security Policy" in words]
    assert len(refused) == 3


def test_a_request_that_is_allowed_would_be_seen(browser: Browser, tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("<img src='http://127.0.0.1:9/a.png'>")

    browser.open(page)

    assert "http://127.0.0.1:9/a.png" in browser.requests()
    assert len(browser.console()) == 1


# --- what one sees -------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["small", "half", "published"])
def test_it_fits_every_window(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
):
    browser.open(pages[name], width=width, dark=dark)

    page, room = browser.run(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert page == room and width - 20 < room <= width  # beside the scroll bar
    wide = browser.run(
        "return [...document.querySelectorAll('main > section > *')]"
        ".filter((part) => part.getBoundingClientRect().right > innerWidth).length"
    )
    assert wide == 0
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_has_size_and_ink(browser: Browser, pages: dict[str, Path], width: int):
    browser.open(pages["published"], width=width)

    figures = browser.run(
        "return [...document.querySelectorAll('.figure svg')].map((svg) => {"
        "  const box = svg.getBoundingClientRect();"
        "  const line = svg.querySelector('[id*=\"axes_1\"]').getBoundingClientRect();"
        "  return [box.width, box.height, line.width / box.width, line.height / box.height];"
        "})"
    )
    # the published networks have no costs of a step, which figure choice needs
    assert len(figures) == len([name for name in catalogue.figure_names() if name != "choice"])
    for across, down, inner_across, inner_down in figures:
        assert 300 < across <= width and 200 < down < 800
        assert 0.5 < inner_across <= 1.01 and 0.4 < inner_down <= 1.01


@pytest.mark.parametrize("name", ["several", "published"])
def test_every_table_fits_into_a_window_of_1280_pixels(
    browser: Browser, pages: dict[str, Path], name: str
):
    browser.open(pages[name], width=1280)

    widths = browser.run(
        "return [...document.querySelectorAll('.scroll')]"
        "  .map((box) => [box.ariaLabel, box.scrollWidth, box.clientWidth]);"
    )
    assert len(widths) >= 8
    assert [box for box in widths if box[1] > box[2]] == []  # label, needed, room


def test_a_wide_table_scrolls_in_its_own_box(browser: Browser, pages: dict[str, Path]):
    browser.open(pages["small"], width=360)

    inner, outer = browser.run(
        "const box = document.querySelector('#runs .scroll'); box.scrollLeft = 10000;"
        "return [box.scrollLeft + box.clientWidth, box.clientWidth]"
    )
    assert inner > 2 * outer


# --- sorting -------------------------------------------------------------------------------------


def test_a_click_sorts_up_and_another_down(browser: Browser, pages: dict[str, Path]):
    browser.open(pages["small"])
    click = COLUMN + "heads[column].querySelector('button').click();"
    accuracy = "top1_final %"

    browser.run(click, accuracy)
    assert browser.run(CELLS, accuracy) == [
        "45.00", "50.00", "55.00", "60.00", "65.00", "70.00", "75.00", "80.00",
    ]  # fmt: skip
    assert browser.run(SORTS, accuracy) == ["ascending"]

    browser.run(click, accuracy)
    assert browser.run(CELLS, accuracy)[:2] == ["80.00", "75.00"]
    assert browser.run(SORTS, accuracy) == ["descending"]

    browser.run(click, "label")  # numbers in words by their value: A2B before A10B
    assert browser.run(CELLS, "label") == [
        "A1B", "A1B+", "A2B", "A10B", "B1B", "B1B+", "B2B", "baseB",
    ]  # fmt: skip
    assert browser.run(SORTS, "label") == ["ascending"]


def test_the_keyboard_sorts_too(browser: Browser, pages: dict[str, Path]):
    browser.open(pages["small"])
    browser.run("document.querySelector('#runs .scroll').focus()")

    browser.press("\ue004", "\ue007")  # Tab, Enter

    assert browser.run(SORTS, "label") == ["ascending"]
    assert browser.run(CELLS, "label")[0] == "A1B"
    assert browser.run("return document.activeElement.textContent") == "label"


def test_numbers_go_by_value_and_cells_without_one_stay_last(
    browser: Browser, pages: dict[str, Path]
):
    browser.open(pages["published"])
    sort = (
        "const head = [...document.querySelectorAll('#figure3 th')]"
        ".find((head) => head.textContent === 'paired %');"
        "head.querySelector('button').click();"
        "return [...document.querySelectorAll('#figure3 tbody tr')]"
        ".map((row) => row.cells[head.cellIndex].textContent)"
    )

    for down in (False, True):
        shown = browser.run(sort)
        numbers = [float(text) for text in shown if text]
        assert shown[len(numbers) :] == [""] * 5  # the bases: there are five series
        assert numbers == sorted(numbers, reverse=down)
        assert numbers[0] == (0.37 if down else -57.52)


# --- data ----------------------------------------------------------------------------------------


def test_data_of_a_figure_is_saved_from_its_link(
    browser: Browser, pages: dict[str, Path], tmp_path: Path
):
    browser.open(pages["small"])
    browser.devtools(
        "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path),
        eventsEnabled=False,
    )  # fmt: skip
    link = "document.querySelector('a[download=\"figure2_drawn.csv\"]')"
    browser.run(
        f"document.querySelectorAll('details').forEach((d) => d.open = true); {link}.click()"
    )

    saved = tmp_path / "figure2_drawn.csv"
    browser.wait_for(saved.exists)

    content = browser.run(f"return {link}.href").partition("base64,")[2]
    assert saved.read_bytes() == base64.b64decode(content)
    assert saved.read_text().startswith("id,label,series,n,target,split,split_seed,seed,")
    assert len(saved.read_text().splitlines()) == 1 + len(LABELS)
    assert browser.console() == []
