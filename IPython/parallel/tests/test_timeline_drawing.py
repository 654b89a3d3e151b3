"""Pictures, pages and texts of timelines: well-formed, bounded, and true to the calls."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from IPython.parallel.tests.test_timeline_data import log_of, not_run, ran
from IPython.parallel.timelines.calls import CANCELLED, WAITING, Call
from IPython.parallel.timelines.layout import lay_out
from IPython.parallel.timelines.style import (
    FAILED_COLOUR,
    FUNCTION_COLOURS,
    GROUND_STYLE,
    OTHERS_COLOUR,
    PICTURE_STYLE,
)
from IPython.parallel.timelines.svg import NARROW, WIDE, draw_svg
from IPython.parallel.timelines.timeline import Timeline
from IPython.parallel.timelines.totals import totals_of

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert('&\"')</script>\x00\ud800"


def of(*calls: Call, **options: object) -> Timeline:
    return Timeline(log_of(*calls, **options))


def picture(timeline: Timeline) -> ElementTree.Element:
    return ElementTree.fromstring(timeline.to_svg())


def titles(root: ElementTree.Element, css: str = "b") -> list[str]:
    """What is said on pointing at the bars."""
    found = (
        group.find(f"{SVG}title") for group in root.iter(f"{SVG}g") if group.get("class") == css
    )
    return [title.text or "" for title in found if title is not None]


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


class Tags(HTMLParser):
    """Checks that every tag of a page is closed, in order."""

    VOID = frozenset({"meta", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.fetched == ["data:,"]
    assert "@import" not in page and "url(http" not in page


def test_every_call_is_a_bar_that_says_what_it_was() -> None:
    root = picture(
        of(ran(0, 0, 4), ran(1, 0, 3, name="g"), ran(1, 3, 4, failed=1, error="ValueError: no"))
    )
    assert [title.splitlines()[0] for title in titles(root)] == [
        "f — finished after 4 s", "g — finished after 3 s", "f — failed after 1 s",
    ]  # fmt: skip
    assert "ValueError: no" in titles(root)[2]


def test_lanes_are_named_and_say_how_busy_they_were() -> None:
    found = texts(picture(of(ran(0, 0, 4), ran(1, 0, 3))))
    assert {"engine 0", "engine 1", "100 %", "75 %"} <= set(found)


def test_headline_says_calls_engines_and_time() -> None:
    assert texts(picture(of(ran(0, 0, 4), ran(1, 0, 3))))[0] == "2 calls on 2 engines in 4 s"


def test_calls_that_never_ran_have_lanes_of_their_own() -> None:
    root = picture(
        of(ran(0, 0, 4), not_run(CANCELLED, 0, 1), not_run(CANCELLED, 0, 1), not_run(WAITING, 0))
    )
    assert {"cancelled", "waiting", "2 calls", "1 call", "queue"} <= set(texts(root))


def test_calls_that_travelled_together_are_joined_by_a_bracket() -> None:
    root = picture(of(*(ran(0, n, n + 1, group=1) for n in range(3))))
    brackets = [
        path for path in root.iter(f"{SVG}path") if path.get("class") == "group" and len(path)
    ]
    assert [bracket[0].text for bracket in brackets] == [
        "3 calls travelled together in one message"
    ]
    assert "travelled together" in texts(root)


@pytest.mark.parametrize("field", ["name", "error", "label"])
def test_nothing_of_the_users_is_taken_for_markup(field: str) -> None:
    timeline = of(ran(0, 0, 1, failed=1, **{field: NASTY}))
    assert "<script>alert" not in timeline.to_svg() + timeline._repr_html_() + timeline.to_html(
        NASTY, [NASTY]
    )
    assert "alert" in titles(picture(timeline))[0]
    check_page(timeline.to_html(NASTY, [NASTY]))


def test_hundred_thousand_calls_make_a_small_picture() -> None:
    timeline = of(
        *(
            ran(n % 8, n / 1000, (n + 8) / 1000, name=f"f{n % 9}", group=n // 50)
            for n in range(100_000)
        )
    )
    drawn = len(list(picture(timeline).iter(f"{SVG}g")))
    assert 8 * 100 < drawn <= 8 * WIDE // 4
    assert len(timeline.to_html()) < 2_000_000
    counted = [
        int(m.group(1).replace(",", ""))
        for t in titles(picture(timeline))
        if (m := re.match(r"([\d,]+) call", t))
    ]
    assert sum(counted) + len(titles(picture(timeline))) - len(counted) == 100_000


def test_failure_among_many_short_calls_is_seen() -> None:
    timeline = of(*(ran(0, n / 100, (n + 1) / 100, failed=int(n == 5000)) for n in range(10_000)))
    red = [rect for rect in picture(timeline).iter(f"{SVG}rect") if rect.get("class") == "f"]
    # One in the legend, one in the lane.
    assert len(red) == 2 and float(red[1].get("height", "0")) >= 3
    assert str(timeline).count("×") == 2  # in the lane, and before the error


def test_more_functions_than_colours_share_the_last_one() -> None:
    found = texts(picture(of(*(ran(0, n, n + 1, name=f"f{n}") for n in range(9)))))
    assert "other functions" in found and "f8" in " ".join(found)


def test_every_class_in_a_picture_has_a_style() -> None:
    timeline = of(
        *(ran(0, n, n + 1, name=f"f{n}", group=1, failed=n % 2) for n in range(9)),
        not_run(CANCELLED, 0, 1), not_run(WAITING, 0), not_run("running", 0, engine=0),
    )  # fmt: skip
    used = {css for css in re.findall(r'class="([^"]+)"', timeline.to_svg()) for css in css.split()}
    assert {css for css in used if f".{css}" not in PICTURE_STYLE} == set()


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_is_drawn_outside_the_picture(width: int) -> None:
    log = log_of(
        *(ran(n % 3, n, n + 2, name="a_rather_long_name" * 3) for n in range(200)),
        not_run(CANCELLED, 0, 9),
    )
    bars = log.bars()
    svg = draw_svg(totals_of(log, bars), log, lambda columns: lay_out(log, bars, columns), width)
    for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect"):
        if rect.get("x"):
            assert (
                0
                <= float(rect.get("x", "0"))
                <= float(rect.get("x", "0")) + float(rect.get("width", "0"))
                <= width
            )


def test_patterns_of_two_pictures_differ() -> None:
    one, other = (re.findall(r'id="(\w+)"', of(ran(0, 0, end))._repr_html_()) for end in (1, 2))
    assert one and other and not set(one) & set(other)


def test_text_shows_a_row_per_engine() -> None:
    lines = str(
        of(ran(0, 0, 4), ran(1, 0, 2), ran(1, 2, 4, failed=1, error="ValueError: no"))
    ).splitlines()
    assert lines[0] == "3 calls on 2 engines in 4 s: 2 finished, 1 failed"
    assert lines[1].startswith("speed-up 2.00 (8 s of work), overhead per call ")
    assert lines[3] == f"engine 0 |{'█' * 60}| 100 % busy"
    assert lines[4].startswith(f"engine 1 |{'█' * 30}{'×' * 30}| 100 %")
    assert "× f: ValueError: no" in lines
    assert all(len(line) <= 100 for line in lines)


def test_nothing_known_is_said() -> None:
    empty = of()
    assert str(empty).startswith("no calls are known")
    assert "no calls are known" in texts(picture(empty))[0]
    check_page(empty.to_html())


def test_page_has_tables_of_engines_functions_and_errors() -> None:
    page = of(
        ran(0, 0, 1), ran(1, 0, 1, name="g", failed=1, error="ValueError: no"), engines=[0, 1, 2]
    ).to_html("t")
    check_page(page)
    assert re.findall("<h2>(.*?)</h2>", page) == ["Engines", "Functions", "Errors"]
    assert page.count("<tr>") == 3 + 1 + 2 + 1 + 1 + 1


def test_page_says_when_a_clock_was_wrong() -> None:
    page = of(ran(0, -50, -49, received=1_000_001.0)).to_html()
    assert "The clock of engine 0 is 50 s behind ours" in page


@pytest.mark.parametrize("ending", ["svg", "html", "txt", "SVG"])
def test_saved_by_ending(ending: str, tmp_path: Path) -> None:
    timeline = of(ran(0, 0, 1))
    timeline.save(tmp_path / f"x.{ending}")
    text = (tmp_path / f"x.{ending}").read_text(encoding="utf-8")
    start = {"svg": "<svg", "html": "<!DOCTYPE html>", "txt": "1 call on 1 engine"}[ending.lower()]
    assert text.startswith(start)


def test_unknown_ending_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name it \*\.svg, \*\.html or \*\.txt"):
        of().save(tmp_path / "x.png")


@pytest.mark.parametrize(("engines", "folded"), [(16, 0), (17, 1)])
def test_table_of_many_engines_is_folded(engines: int, folded: int) -> None:
    page = of(*(ran(n, 0, 1) for n in range(engines))).to_html()
    check_page(page)
    assert page.count("<summary>Each engine</summary>") == folded


def luminance(colour: str) -> float:
    """How bright a colour is, from 0 to 1, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    darker, brighter = sorted((luminance(one), luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colour", [*FUNCTION_COLOURS, OTHERS_COLOUR, FAILED_COLOUR])
def test_bars_can_be_told_from_their_names_and_from_the_ground(colour: str) -> None:
    assert contrast(colour, "#ffffff") >= 4.5
    for ground in re.findall(r"background: (#[0-9a-f]{6})", GROUND_STYLE):
        assert contrast(colour, ground) >= 3
