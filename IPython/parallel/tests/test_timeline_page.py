"""Pages of timelines in a real browser: no complaint, readable on a desk and in a hand, day and night."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from IPython.parallel.tests.browser import Page, find_browser, look
from IPython.parallel.tests.test_timeline_data import log_of, not_run, ran
from IPython.parallel.timelines.calls import CANCELLED, WAITING
from IPython.parallel.timelines.timeline import Timeline

SIZES = [(1280, False), (1280, True), (400, False), (400, True)]

# The picture that is seen; the other one is for another width.
SEEN = "[...document.querySelectorAll('svg')].find(svg => svg.getBoundingClientRect().width > 0)"
MIDDLE = """(() => {{
  const box = {of}.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}})()"""
SMALLEST_TEXT = f"""(() => {{
  const svg = {SEEN}, scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const sizes = [...svg.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize));
  return Math.min(...sizes) * scale;
}})()"""
# Luminance of text and of what it stands on, from 0 to 255.
CONTRAST = """(() => {
  const light = css => css.match(/[0-9.]+/g).slice(0, 3)
    .reduce((sum, c, i) => sum + c * [.21, .72, .07][i], 0);
  const body = getComputedStyle(document.body);
  return [light(body.color), light(body.backgroundColor)];
})()"""


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    find_browser()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a timeline with everything in it."""
    calls = [ran(n % 3, n, n + 2.5, name=f"function_{n % 2}", group=n // 6) for n in range(30)]
    calls += [ran(0, 35 + n / 100, 35 + (n + 1) / 100, name="tiny", group=100) for n in range(300)]
    calls += [
        ran(1, 33, 38, name="bad", failed=1, error="ValueError: no minimum after 100 iterations")
    ]
    calls += [not_run(CANCELLED, 0, 10), not_run(WAITING, 30)]
    path = tmp_path / "page.html"
    path.write_text(Timeline(log_of(*calls, now=40.0)).to_html("count_words.py"), encoding="utf-8")
    return path


def in_browser(tmp_path: Path, use: Any) -> Any:
    profile = tmp_path / "browser"
    profile.mkdir()
    return look(profile, use)


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_page_loads_fits_and_can_be_read(
    width: int, dark: bool, page: Path, tmp_path: Path
) -> None:
    async def use(shown: Page) -> dict[str, Any]:
        await shown.open(page, width, dark=dark)
        return {
            "bars": await shown.value(f"{SEEN}.querySelectorAll('.b').length"),
            "pictures": await shown.value(
                "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width).length"
            ),
            "overflow": await shown.value("document.documentElement.scrollWidth - innerWidth"),
            "text": await shown.value(SMALLEST_TEXT),
            "contrast": await shown.value(CONTRAST),
            "complaints": shown.complaints,
        }

    found = in_browser(tmp_path, use)
    assert found["complaints"] == []
    assert found["pictures"] == 1
    assert found["bars"] >= 30
    assert found["overflow"] <= 0
    assert found["text"] >= 10
    text, ground = found["contrast"]
    assert (text > 200 and ground < 50) if dark else (text < 50 and ground > 200)


@pytest.mark.parametrize("width", [1280, 400])
def test_pointing_at_a_bar_says_what_it_was(width: int, page: Path, tmp_path: Path) -> None:
    async def use(shown: Page) -> list[Any]:
        await shown.open(page, width)
        bar = f"[...{SEEN}.querySelectorAll('.b')].find(b => b.dataset.tip.includes('ValueError'))"
        before = await shown.value("document.getElementById('tip').hidden")
        await shown.point_at(*await shown.value(MIDDLE.format(of=f"{bar}.querySelector('rect')")))
        tip = await shown.value(
            "[tip.hidden, tip.innerText, tip.getBoundingClientRect().right <= innerWidth]"
        )
        wait = await shown.value(f"getComputedStyle({bar}.querySelector('.wait')).opacity")
        await shown.point_at(2, 2)
        after = await shown.value("tip.hidden")
        return [before, tip, wait, after, shown.complaints]

    before, (hidden, text, inside), wait, after, complaints = in_browser(tmp_path, use)
    assert (before, hidden, inside, after, complaints) == (True, False, True, True, [])
    assert text.splitlines()[:2] == [
        "bad — failed after 5 s",
        "ValueError: no minimum after 100 iterations",
    ]
    # The line back to when the call was submitted is seen now.
    assert float(wait) > 0.5


def test_names_in_a_page_cannot_run(tmp_path: Path) -> None:
    nasty = (
        "<img src=x onerror='document.title=1'></title></style><script>document.title=1</script>"
    )
    path = tmp_path / "nasty.html"
    timeline = Timeline(log_of(ran(0, 0, 1, name=nasty, failed=1, error=nasty, label=nasty)))
    path.write_text(timeline.to_html(nasty, [nasty]), encoding="utf-8")

    async def use(shown: Page) -> tuple[Any, Any, list[str]]:
        await shown.open(path, 1280)
        return (
            await shown.value("document.title"),
            await shown.value("document.images.length"),
            shown.complaints,
        )

    title, images, complaints = in_browser(tmp_path, use)
    assert title.startswith("<img") and images == 0 and complaints == []


def test_picture_alone_has_a_ground_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "picture.svg"
    Timeline(log_of(ran(0, 0, 1), ran(1, 0, 1))).save(path)

    async def use(shown: Page) -> list[Any]:
        grounds = []
        for dark in (False, True):
            await shown.open(path, 1280, dark=dark)
            grounds.append(
                await shown.value("getComputedStyle(document.documentElement).backgroundColor")
            )
        return [*grounds, shown.complaints]

    assert in_browser(tmp_path, use) == ["rgb(255, 255, 255)", "rgb(20, 24, 31)", []]
