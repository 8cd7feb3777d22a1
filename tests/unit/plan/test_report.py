"""The page of an answer: whole, self-contained, and safe with whatever names it shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.errors import RackplanError
from sim.plan.assumptions import told_of_assumptions
from sim.plan.least.told import told_of
from sim.plan.pictures import svg_of
from sim.plan.report import check_report, page_of, write_report
from sim.plan.told import BARS, GOOD, LINE, POINTS, WATERFALL, Chart, Part, Series, Table, Told
from tests.unit.plan.questions import answered, asked, runs_of

HOSTILE = '<script>alert("x")</script><img src=http://example.org/a.png>'


def chart(kind: str, *, limits: tuple[tuple[str, float], ...] = ()) -> Chart:
    if kind in (BARS, WATERFALL):
        series = Series("kW", (100.0, 30.0, 20.0, 50.0), names=("whole", "lost", HOSTILE, "left"))
    else:
        series = Series(
            HOSTILE, (1.0, 4.0, 2.0), x=(1.0, 2.0, 3.0), low=(0.5, float("-inf"), 1.0),
            high=(1.5, float("inf"), 3.0), names=("a", "b", HOSTILE) if kind == POINTS else (),
            chosen=frozenset({1}),
        )  # fmt: skip
        if kind == LINE:
            series = Series(HOSTILE, series.y, series.x, series.low, series.high)
    return Chart(HOSTILE, kind, "replicas", "share (%)", (series,), limits)


class Tags(HTMLParser):
    """Every tag and its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("kind", [LINE, POINTS, BARS, WATERFALL])
def test_every_kind_of_chart_is_drawn(kind: str) -> None:
    svg = svg_of(chart(kind, limits=(("limit", 3.0),)))
    assert svg.startswith("<svg")
    assert ">share (%)<" in svg
    assert ">limit<" in svg
    assert "NaN" not in svg
    assert {tag for tag, _ in tags(svg)} <= {"svg", "g", "path", "text", "rect", "line", "defs",
                                            "clippath", "tspan", "style"}  # fmt: skip
    if kind == WATERFALL:
        assert all(f">{number}<" in svg for number in ("100", "30", "20", "50"))


def test_a_page_runs_nothing_and_loads_nothing(tmp_path: Path) -> None:
    table = Table(("word", HOSTILE), ((HOSTILE, "yes"),), words={"yes": GOOD}, title=HOSTILE,
                  note=HOSTILE)  # fmt: skip
    part = Part(HOSTILE, (HOSTILE,), (table,), tuple(map(chart, (LINE, POINTS, BARS, WATERFALL))))
    page = page_of(HOSTILE, Told(HOSTILE, HOSTILE, GOOD, (HOSTILE,), (part,)), (part,), HOSTILE)
    found = tags(page)
    names = {tag for tag, _ in found}
    assert not names & {"script", "img", "iframe", "link", "object", "embed", "form", "a"}
    for _, attributes in found:
        assert not any(name.startswith("on") or name in ("src", "href") for name in attributes)
    assert "default-src 'none'" in page
    assert not re.search(r"url\((?!#)", page)
    # It is all there, as text.
    assert page.count("&lt;script&gt;") >= 10
    target = tmp_path / "answer.html"
    write_report(target, page)
    assert target.read_text(encoding="utf-8") == page
    assert list(tmp_path.iterdir()) == [target]


def test_a_plans_page_says_what_it_rests_on(tmp_path: Path) -> None:
    question = asked(tmp_path)
    runs = runs_of(question, tmp_path / "runs")
    from sim.plan.least.find import make_plan

    plan = make_plan(question, runs)
    more = told_of_assumptions(runs.making.example, {"beta": "a word"}, ("mind the gap",))
    headings = [part.heading for part in more]
    assert headings == ["Assumptions", "How to read it", "Validity warnings",
                        "Where the numbers come from"]  # fmt: skip
    page = page_of("small", told_of(plan, None), more, "made by a test")
    for text in (
        "pools[chat].replicas = 5", "1500 tokens in, 40 out", "100 /s", "none stated",
        "llama-3.1-8b", "Expected error of chat", "mind the gap", "a word", "huggingface.co",
        "<svg", "rackplan ",
    ):  # fmt: skip
        assert text in page, text
    assert answered(question, tmp_path / "runs").made == 0
    assert told_of_assumptions(None, {}, ())[0].sentences == ("none",)


def test_where_it_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(RackplanError, match="is a folder; name a file"):
        check_report(tmp_path)
    with pytest.raises(RackplanError, match="there is no folder"):
        check_report(tmp_path / "no" / "a.html")
    check_report(tmp_path / "a.html")
    (tmp_path / "b.html").symlink_to("/dev/null")  # replacing it would break what it leads to
    for place in (tmp_path / "b.html", Path("/dev/null")):
        with pytest.raises(RackplanError, match="is no plain file"):
            check_report(place)


def test_the_command_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.cli.test_plan import Kept, app
    from tests.unit.plan.questions import question_file

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sim.study.local.LocalExecutor", lambda jobs, **options: Kept())
    question_file(tmp_path)
    made = CliRunner().invoke(app, ["plan", "small.yaml", "--report", "answer.html"])
    assert made.exit_code == 0, made.output
    page = (tmp_path / "answer.html").read_text(encoding="utf-8")
    assert "rackplan plan small.yaml: " in page
    assert "the same command finds them again" in page
    wrong = CliRunner().invoke(app, ["plan", "small.yaml", "--report", "no/answer.html"])
    assert isinstance(wrong.exception, RackplanError)


def test_what_an_answer_costs_is_what_cost_says_of_its_runs(tmp_path: Path) -> None:
    from sim.cost import built_of
    from sim.cost.answer import answer, content_of
    from sim.plan.kinds import How
    from sim.plan.least.asked import LeastAsked

    question = asked(tmp_path)
    runs = runs_of(question, tmp_path / "runs")
    found = LeastAsked(question).answer(runs.making, How())
    assert found.plan.answer is not None
    point = found.plan.answer.point
    runs.see({point: 5})
    results = list(runs.results(point).values())
    same = answer(built_of(question.scenario(point)), results)
    assert found.costs is not None
    told = found.told()
    costs = found.costs.content()
    assert costs["capital"]["total_usd"] == pytest.approx(content_of(same)["capital"]["total_usd"])
    (money,) = [part for part in told.parts if part.heading == "What it costs at 5"]
    assert money.sentences[0].startswith(f"{same.capital.total_usd:,.0f} USD to buy, ")
    assert "source: " in "".join(cell for row in money.tables[1].rows for cell in row)
    (power,) = [part for part in told.parts if part.heading.startswith("Where the provisioned")]
    whole, *parts = power.charts[0].series[0].y
    assert sum(parts) == pytest.approx(whole)
    assert all(table.page_only for table in (*money.tables, *power.tables))


def test_a_site_without_a_price_says_so(tmp_path: Path) -> None:
    from sim.plan.cost_told import Costs, told_of_costs

    (part,) = told_of_costs("5", Costs(None, "no price is known of a server"))
    assert part.sentences == ("not reckoned: no price is known of a server",)
