"""The page: self-contained and complete, with everything from a store escaped."""

import base64
import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from support.commandline import refused
from support.stores import finish, planned

from transferlab import results
from transferlab.cli import report as command
from transferlab.errors import UserError
from transferlab.results import catalogue, loading
from transferlab.results.page import html, overview, report

LABELS = ("baseB", "A1B", "B1B", "A1B+", "B1B+", "A2B", "B2B")
CSV = re.compile(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"')
VOID = {"meta", "link", "br", "img", "wbr"}


class Outline(HTMLParser):
    """What is in a page: ids, addresses, tags; every tag has to be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for key, value in attrs if key == "id"]
        names = ("href", "src", "xlink:href", "srcset", "action", "data")
        self.addresses += [value or "" for key, value in attrs if key in names]


# The figures of the published networks: no log has the costs that a choice is drawn by
PUBLISHED = [name for name in catalogue.figure_names() if name != "choice"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one pair at every n."""
    for number, label in enumerate(LABELS):
        finish(tmp_path / "runs", label, 0.8 - number / 20)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def published_page() -> str:
    return report.page(results.load("published:yosinski2014"))


def saved(page: str) -> dict[str, pd.DataFrame]:
    """The CSV files that a page holds, by their names."""
    files = ((name, base64.b64decode(content).decode()) for name, content in CSV.findall(page))
    return {name: pd.read_csv(StringIO(text)) for name, text in files}


# --- one file ------------------------------------------------------------------------------------


def test_the_page_is_self_contained(published_page: str):
    outline = Outline(published_page)

    assert len(outline.ids) == len(set(outline.ids))
    assert not [name for name in outline.ids if re.search(r"\s", name)]
    outside = [a for a in outline.addresses if not a.startswith(("#", "data:"))]
    assert outside == []
    inside = {a.removeprefix("#") for a in outline.addresses if a.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", published_page))
    assert inside <= set(outline.ids)
    assert "@import" not in published_page
    assert outline.tags.count("svg") == len(PUBLISHED)
    assert {"script", "style"} & set(outline.tags) == {"script", "style"}
    assert (outline.tags.count("script"), outline.tags.count("style")) == (1, 1)


def test_its_policy_allows_only_its_own_script(published_page: str):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', published_page)
    script = re.search(r"<script>(.*?)</script>", published_page, re.DOTALL)
    assert policy is not None and script is not None
    assert policy[1].split("; ")[:2] == [
        "default-src 'none'",
        f"script-src 'sha256-{html.digest(script[1])}'",
    ]
    assert "unsafe-eval" not in policy[1]


# --- what it shows -------------------------------------------------------------------------------


def test_every_figure_and_table_has_its_text_and_its_data(published_page: str):
    files = saved(published_page)

    assert set(files) == {
        "left_out.csv", "figure2.csv", "figure3.csv", "table1.csv", "decomposition.csv",
        "interpretation.csv", "fine_tuning.csv",
        "experiments.csv", "runs.csv", *(f"{name}_drawn.csv" for name in PUBLISHED),
    }  # fmt: skip
    loaded = results.load("published:yosinski2014")
    for name in ("figure2", "figure3", "table1", "decomposition", "fine_tuning"):
        expected = results.table(loaded, name)
        assert len(files[f"{name}.csv"]) == len(expected), name
    points = files["figure2_drawn.csv"]
    assert (len(points), points["top1_best10"].max()) == (112, 0.647581)
    assert set(files["curves_drawn.csv"].columns) == set(loading.CURVE)
    for name in report.section_names():
        assert f'<section id="{name}"' in published_page
        assert html.paragraph(catalogue.EXHIBITS[name].text) in published_page


def test_cells_contain_the_number_by_which_their_column_is_sorted(store: Path):
    section = report.section(results.load(store), "runs")

    assert "<td>A1B</td>" in section
    assert '<td class="number" data-value="0.75">75.00</td>' in section


def test_a_placeholder_says_what_is_missing(tmp_path: Path):
    planned(tmp_path / "runs", "quick", "A1B", "B1B")
    finish(tmp_path / "runs", "baseB", 0.8)
    finish(tmp_path / "runs", "A2B", 0.2, learned=False)

    page = report.page(results.load(tmp_path / "runs"))

    assert "<dd>1 at chance level, 3 missing</dd>" in page
    assert "planned by study quick, not started" in page
    assert "Nothing to draw yet: no finished run is a base network with fewer images" in page
    assert "0 of 1" in page


def test_a_store_with_nothing_finished_has_a_page(tmp_path: Path):
    planned(tmp_path / "runs", "quick", "A1B")

    page = report.page(results.load(tmp_path / "runs"))

    assert "<dt>finished runs</dt><dd>0</dd>" in page
    assert page.count("Nothing to draw yet") == len(catalogue.figure_names())


def test_several_experiments_have_a_figure_each(store: Path):
    for number, label in enumerate(LABELS):
        finish(store, label, 0.7 - number / 20, {"data.name": "cifar10", "data.digest": "e" * 64})

    section = report.section(results.load(store), "figure2")

    assert re.findall(r'<figure id="([^"]+)"', section) == ["figure2_1-figure", "figure2_2-figure"]
    assert set(saved(section)) == {"figure2.csv", "figure2_1_drawn.csv", "figure2_2_drawn.csv"}


def test_its_head_names_the_data_the_classes_the_images_and_chance(store: Path):
    birds = {"data.name": "image_folder", "data.root": "/a/birds", "data.digest": "e" * 64}
    finish(store, "baseB", 0.3, birds, data_classes=201, data_images=90_000, num_classes=101,
           metrics={"top1_final": 0.3, "top1_best10": 0.3, "top1_peak": 0.3, "chance": 1 / 101,
                    "val_loss_final": 1.5, "train_loss_final": 1.0})  # fmt: skip

    head = report.page(results.load(store)).partition("<main>")[0]

    assert (
        "<dt>digits</dt><dd>10 classes, 1,442 training images; chance 20 % of 5 classes</dd>"
        "<dt>birds</dt><dd>201 classes, 90,000 training images; chance 0.99 % of 101 classes</dd>"
    ) in head


def test_the_page_of_one_experiment_shows_no_other(store: Path):
    birds = {"data.name": "image_folder", "data.root": "/a/birds", "data.digest": "e" * 64}
    for label in ("baseB", "A1B"):
        finish(store, label, 0.3, birds)

    page = report.page(results.load(store), experiment="digits")

    assert "birds" not in page
    assert "<dt>finished runs</dt><dd>7</dd>" in page
    assert '<figure id="figure2-figure"' in page
    with pytest.raises(UserError, match="--experiment 'quick' is ambiguous"):
        report.page(results.load(store), experiment="quick")


def test_the_papers_networks_stand_behind_other_data_only_on_request(store: Path):
    loaded = results.load(store)
    comment = "Yosinski et al. 2014"  # matplotlib writes a text beside its outlines

    assert comment in report.section(loaded, "figure2", published=True)
    assert comment not in report.section(loaded, "figure2")


def test_coverage_counts_finished_of_expected_runs(tmp_path: Path):
    planned(tmp_path, "quick", "A1B", "A1B+", "B1B")
    for label in ("baseB", "A1B"):
        finish(tmp_path, label, 0.8)

    counts = overview.coverage(results.load(tmp_path))

    assert counts.to_dict("records") == [
        {"split": "random", "series": "baseB", "n = 0": "1 of 2", "n = 1": ""},
        {"split": "random", "series": "BnB", "n = 0": "", "n = 1": "0 of 1"},
        {"split": "random", "series": "AnB", "n = 0": "", "n = 1": "1"},
        {"split": "random", "series": "AnB+", "n = 0": "", "n = 1": "0 of 1"},
    ]


# --- nothing of a store is believed --------------------------------------------------------------


def test_names_that_look_like_html_are_escaped(tmp_path: Path):
    evil = """a<script>alert(1)</script>&"'"""
    store = tmp_path / evil.replace("/", "\\")
    finish(store, "baseB", 0.8, host=evil, device=evil, commit=evil)
    finish(store, "A1B", 0.7, {"model.name": f"mine:{evil}"})
    (store / f"{store.name}-0123456789ab").mkdir()

    page = report.page(results.load(store))

    Outline(page)
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;" in page


# --- the command ---------------------------------------------------------------------------------


def test_the_command_writes_the_page(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "mine.html"

    arguments = ["--store", store, "--metric", "top1_peak", "--study", "quick", "--published"]
    planned(store, "quick", "A1B")
    assert command.run([*map(str, arguments), "--out", str(out)]) == 0

    assert tuple(capsys.readouterr()) == ("", f"{out}\n")
    loaded = results.load(store, study="quick")  # the same store gives the same page
    assert out.read_text() == report.page(loaded, "top1_peak", published=True)
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "nowhere"], "nowhere is not a store: name one with --store DIR, or fill it"),
        (
            ["--store", "published:other"],
            "published:other is unknown: choose published:yosinski2014",
        ),
        (["--metric", "top5"], "--metric top5 is unknown: choose one of top1_final, top1_best10"),
        (["--out", "no/such/page.html"], "no/such/page.html cannot be written: No such file"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_errors_say_what_to_do(
    arguments: list[str], message: str, store: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(store.parent)
    monkeypatch.setattr(report, "page", lambda *_, **__: "page")

    with pytest.raises(UserError, match=re.escape(message)):
        command.run(["--store", str(store), *arguments])


def test_an_empty_store_is_refused_with_how_to_fill_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no run: fill it with .* sweep \+study=quick"):
        command.run(["--store", str(tmp_path)])


def test_the_command_line_refuses_a_missing_store_in_one_line(tmp_path: Path):
    (tmp_path / "here").mkdir()

    message = refused(tmp_path / "here", "report")

    assert "is not a store: name one with --store DIR, or fill it with" in message


def test_a_file_instead_of_a_folder_is_left_unchanged(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(report, "page", lambda *_, **__: "page")
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        command.run(["--store", str(store), "--out", str(tmp_path / "file" / "page.html")])

    assert (tmp_path / "file").read_text() == "mine"
