"""The review as people use it: Debian's chromium drives the queue, every correction, two users, the keyboard.

With ECG_HOUGH_SCREENSHOTS=docs/images the screenshots of the docs are written.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import statistics
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason='needs pip install "ecg-hough[serve]"')
pytest.importorskip("jinja2", reason='needs pip install "ecg-hough[serve]"')
pytest.importorskip("sqlalchemy", reason='needs pip install "ecg-hough[serve]"')
pytest.importorskip("uvicorn", reason='needs pip install "ecg-hough[serve]"')
pytest.importorskip("playwright", reason="needs the package playwright")
import uvicorn
from playwright.sync_api import sync_playwright

from ecg_hough.review.app import review_app
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import Library
from ecg_hough.review.store import Store
from made_review import (
    CHEST_WARNING,
    CLEAN,
    NO_PAGE,
    PHOTO,
    TWO,
    find_page_quickly,
    folder_of_two,
    of_file,
    review_folder,
)
from places import ROOT

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium; scripts/install_review_tests.sh installs it"
)
AXE = ROOT / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
TOKEN = "the-token-of-these-tests"
DESKTOP, TABLET, UPRIGHT = (1280, 800), (1024, 768), (820, 1180)
WAIT_MS = 60_000
SCREENSHOT_MAX = 200_000
FRAME_MS = 400
"""Far above what a frame takes (it is printed): the machine may have other work."""


@pytest.fixture(scope="module")
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of records: that of most tests, or what a test asks for."""
    made: Path = getattr(request, "param", review_folder)(tmp_path_factory.mktemp("review"))
    return made


@pytest.fixture
def address(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with an empty log; pages are those that were read before."""
    monkeypatch.setattr("ecg_hough.review.engine.reading_of", of_file)
    monkeypatch.setattr("ecg_hough.review.reading.find_page", find_page_quickly)
    store = Store(f"sqlite:///{tmp_path / 'review.db'}")
    engine = Engine(Library(out), store)
    server = uvicorn.Server(
        uvicorn.Config(review_app(engine, user="anna", token=TOKEN), log_level="error", access_log=False)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=20)
    store.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as programs:
        browser = programs.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """A browser of its own at the queue; errors in its console fail the test."""
    contexts, errors = [], []

    def begin(size: tuple[int, int] = DESKTOP, name: str = "") -> Any:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}/?token={TOKEN}")
        if name:
            page.fill("#name", name)
            with page.expect_navigation():
                page.click("#me button")
        page.wait_for_selector("#pages tr")
        return page

    yield begin
    for context in contexts:
        context.close()
    assert not errors


def opened(page: Any, stem: str = CLEAN) -> Any:
    """The page view of a page of the queue."""
    page.select_option("select[name=decision]", "")
    page.click(f"#pages a:text-is('{stem}')")
    page.wait_for_selector("body[data-ready=yes]")
    return page


def until(page: Any, holds: Callable[[], bool]) -> None:
    """Wait; the page's own policy forbids Playwright's way, which evaluates strings in it."""
    for _ in range(WAIT_MS // 20):
        if holds():
            return
        page.wait_for_timeout(20)
    raise AssertionError("waited in vain")


def state_of(page: Any, number: int = 1) -> dict[str, Any]:
    """The record as the server has it, and one of its pages by its number in the file."""
    path = f"/api/pages/{page.get_attribute('main', 'data-page')}?number={number}"
    return dict(page.evaluate(f"fetch('{path}').then((reply) => reply.json())"))


def changes(page: Any, action: Callable[[], object]) -> str:
    """The newest line of the history after an action that corrects the page."""
    lines = page.locator("#history li:not(.empty)")
    before = lines.count()
    action()
    until(page, lambda: lines.count() > before)
    return lines.first.locator("span").inner_text()


def place(page: Any, key: str, share: float, number: int = 1) -> tuple[float, float]:
    """Where the trace of a panel is on the screen, so far along it, when the whole page is shown."""
    found = page.evaluate(
        """async ([key, share, number]) => {
            const record = document.querySelector('main').dataset.page;
            const state = await fetch(`/api/pages/${record}?number=${number}`).then((reply) => reply.json());
            const panel = state.panels.find((one) => one.key === key);
            const raw = atob(state.rows.find((one) => one.row === panel.row).points);
            const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
            const points = new Float32Array(bytes.buffer);
            const k = Math.round(panel.first + share * (panel.stop - panel.first));
            const canvas = document.getElementById('page').getBoundingClientRect();
            const scale = 0.98 * Math.min(canvas.width / state.width, canvas.height / state.height);
            const row = Number.isNaN(points[2 * k]) ? panel.zero[0][0] : points[2 * k];
            return [canvas.left + canvas.width / 2 + (points[2 * k + 1] - state.width / 2) * scale,
                    canvas.top + canvas.height / 2 + (row - state.height / 2) * scale];
        }""",
        [key, share, number],
    )
    return float(found[0]), float(found[1])


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    page.mouse.move(*end)
    page.mouse.up()


def accessible(page: Any) -> None:
    """No violation of WCAG 2 A and AA, and of good practice, that axe-core finds."""
    if not AXE.exists():
        pytest.skip("needs axe-core; scripts/install_review_tests.sh installs it")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    told = [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]
    assert not told
    assert len(found["passes"]) > 10


def screenshot(page: Any, name: str) -> None:
    """A picture for the docs, where it is asked for."""
    folder = os.environ.get("ECG_HOUGH_SCREENSHOTS")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (255, 160, 96, 64):  # as many as fit
        buffer = io.BytesIO()
        few = picture.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= SCREENSHOT_MAX:
            break
    assert buffer.tell() <= SCREENSHOT_MAX
    if folder:
        (ROOT / folder / f"{name}.png").write_bytes(buffer.getvalue())


def test_the_queue(visit: Callable[..., Any]) -> None:
    page = visit()
    names = page.locator("#pages td:first-child")
    assert names.all_inner_texts() == [NO_PAGE, CLEAN, PHOTO], "the riskiest first"
    accessible(page)
    screenshot(page, "review_queue")
    page.select_option("select[name=warning]", "signals")
    until(page, lambda: page.locator("#pages tr").count() == 1)
    assert names.all_inner_texts() == [CLEAN]
    page.select_option("select[name=warning]", "")
    until(page, lambda: page.locator("#pages tr").count() == 3)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    until(page, lambda: page.locator("#pages tr").count() == 2)
    page.wait_for_selector("text=1 of 3 decided: 1 accepted")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("r")
    page.fill("#reason", "no ECG")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=2 of 3 decided: 1 accepted, 1 rejected")


def test_every_correction(visit: Callable[..., Any]) -> None:
    page = opened(visit())
    machine = state_of(page)

    def leads() -> dict[str, str]:
        return {one["key"]: one["lead"] for one in state_of(page)["panels"]}

    assert page.locator("#warnings button").first.inner_text().startswith("⚠1 signals: the limb leads")
    page.select_option("#panel", "0.3")
    assert "V4: " in page.inner_text("#lead-status")
    said = changes(page, lambda: page.select_option("#lead", "V5"))
    assert said == "lead names: V4 to V5, V5 to V4"
    assert (leads()["0.3"], leads()["1.3"]) == ("V5", "V4")
    changes(page, lambda: page.click("#undo"))
    assert leads()["0.3"] == "V4"
    changes(page, lambda: page.click("#redo"))
    assert leads()["0.3"] == "V5"

    changes(page, lambda: (page.fill("#zero", "0.5"), page.keyboard.press("Tab")))
    assert next(one for one in state_of(page)["panels"] if one["key"] == "0.3")["zero_mm"] == 0.5
    said = changes(page, lambda: (page.fill("#limb", "5"), page.keyboard.press("Tab")))
    assert said == "gain of all leads: 10 to 5 mm/mV"
    said = changes(page, lambda: (page.fill("#chest", "10"), page.keyboard.press("Tab")))
    assert said == "gain of V1 to V6: 5 to 10 mm/mV"
    said = changes(page, lambda: (page.fill("#down", "6"), page.keyboard.press("Tab")))
    assert said.startswith("grid pitch: 6.000 x ")
    said = changes(page, lambda: (page.fill("#speed", "50"), page.keyboard.press("Tab")))
    assert said == "paper speed: 25 to 50 mm/s"
    said = changes(page, lambda: page.select_option("#layout", "3x4+1"))
    assert said == "layout: 3x4+1 (was 3x4+1)"

    page.click("summary:text-is('Header')")
    changes(page, lambda: (page.fill("#h-name", "Doe, Jane"), page.keyboard.press("Tab")))
    assert state_of(page)["header"]["name"] == "Doe, Jane"

    page.keyboard.press("Escape")
    page.click("#fit")
    page.select_option("#panel", "")

    def with_tool(tool: str, key: str, first: float, last: float) -> str:
        page.click(f"[data-tool={tool}]")
        return changes(page, lambda: drag(page, place(page, key, first), place(page, key, last)))

    assert with_tool("redraw", "1.1", 0.3, 0.6) == "trace of aVL drawn again"
    assert with_tool("unreadable", "2.2", 0.2, 0.4) == "trace of V3 marked unreadable"
    assert with_tool("restore", "2.2", 0.1, 0.5) == "trace of V3 restored"
    page.click("[data-tool=nudge]")
    drag(page, place(page, "1.2", 0.3), place(page, "1.2", 0.5))
    page.keyboard.press("ArrowUp")
    said = changes(page, lambda: page.keyboard.press("ArrowUp"))
    assert said == "trace of V2 moved by -0.20 mm down, +0.00 mm right"
    page.click("[data-tool=zero]")
    x, y = place(page, "2.1", 0.4)
    assert "zero line of aVF" in changes(page, lambda: drag(page, (x, y), (x, y + 4)))
    page.click("[data-tool=edge]")
    x, y = place(page, "0.1", 0.0)
    assert changes(page, lambda: drag(page, (x, y), (x + 5, y))) == "edge of column 2 moved"

    page.click("[data-tool=crop]")
    box = page.locator("#page").bounding_box()
    scale = 0.98 * min(box["width"] / machine["width"], box["height"] / machine["height"])
    wide, tall = machine["width"] * scale, machine["height"] * scale
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(
        page,
        (middle[0] - wide / 2 + 3, middle[1] - tall / 2 + 3),
        (middle[0] + wide / 2 - 3, middle[1] + tall / 2 - 3),
    )
    assert changes(page, lambda: page.click("#reread-form button[type=submit]")).startswith(
        "read again: rows "
    )
    assert len(state_of(page)["panels"]) == 13
    changes(page, lambda: page.keyboard.press("u"))
    before = state_of(page)
    assert (before["version"], before["part"]["box"]) == (18, [])


def test_preview_history_export_and_pictures_in_step(visit: Callable[..., Any]) -> None:
    page = opened(visit())
    page.click("[data-tool=zero]")
    page.select_option("#panel", "0.3")
    page.click("#fit")
    page.focus("#page")
    before = page.locator("#page").screenshot()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(60)
    assert page.locator("#page").screenshot() != before, "seen at once, before the server answers"
    changes(page, lambda: page.keyboard.press("Enter"))
    page.click("[data-tool=select]")
    page.mouse.move(*place(page, "1.2", 0.4))
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(100)
    screenshot(page, "review_page")
    accessible(page)

    paper = page.locator("#paper").screenshot()
    page.click("#in")
    page.wait_for_timeout(100)
    assert page.locator("#paper").screenshot() != paper, "both pictures are zoomed"
    page.click("#stack")
    page.wait_for_timeout(100)
    boxes = [page.locator(one).bounding_box() for one in ("#page", "#paper")]
    assert boxes[1]["y"] > boxes[0]["y"] + 100

    page.click("summary:text-is('Export')")
    page.check("input[value=csv]")
    with page.expect_download() as download:
        page.click("text=Download ZIP")
    with zipfile.ZipFile(download.value.path()) as archive:
        entry = json.loads(archive.read(f"{CLEAN}.json"))
        assert f"{CLEAN}.csv" in archive.namelist()
    assert entry["corrected_by"] == ["anna"]
    assert {one["lead"]: one["status"] for one in entry["lead_status"]}["V4"] == "corrected"
    page.keyboard.press("Escape")
    page.click("#help")
    accessible(page)


def test_keyboard_only(visit: Callable[..., Any]) -> None:
    page = visit()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-ready=yes]")
    assert page.inner_text("#name") == CLEAN
    keys = page.keyboard

    def press(*names: str) -> None:
        for name in names:
            keys.press(name)

    press("]", "]", "]")
    assert page.input_value("#lead") == "III" or page.input_value("#lead") in page.inner_text("#lead-status")
    lead = page.input_value("#lead")
    press("d")
    assert page.evaluate("document.activeElement.id") == "page"
    said = changes(page, lambda: press("Enter", *["Shift+ArrowRight"] * 4, "Enter"))
    assert said == f"trace of {lead} drawn again"
    press("x")
    said = changes(page, lambda: press("Enter", *["Shift+ArrowRight"] * 3, "Enter"))
    assert said == f"trace of {lead} marked unreadable"
    press("e")
    said = changes(page, lambda: press("Enter", *["Shift+ArrowRight"] * 3, "Enter"))
    assert said == f"trace of {lead} restored"
    press("n")
    assert "moved by -0.10 mm down" in changes(page, lambda: press("ArrowUp"))
    press("z")
    assert "zero line" in changes(page, lambda: press("Shift+ArrowDown"))
    press("c", "]", "]")
    assert changes(page, lambda: press("ArrowRight")) == "edge of column 3 moved"
    assert changes(page, lambda: press("u")) == "undone"
    assert changes(page, lambda: press("y")) == "redone"
    press("v", "0", "+", "-", "ArrowLeft")
    press("r")
    page.wait_for_selector("#reject[open]")
    press("Escape")
    page.wait_for_selector("#reject", state="hidden")
    with page.expect_navigation():
        press("a")
    page.wait_for_selector("#badge")
    assert page.inner_text("#name") != CLEAN
    page.goto(page.url.rpartition("/pages")[0] + "/")
    page.wait_for_selector("text=1 of 3 decided: 1 accepted, 0 rejected; 1 corrected")


@pytest.mark.slow
def test_keys_of_one_letter_can_be_turned_off(visit: Callable[..., Any]) -> None:
    page = opened(visit())
    page.click("#help")
    page.uncheck("#single")
    page.click("text=Close")
    page.keyboard.press("d")
    page.keyboard.press("r")
    assert page.get_attribute("[data-tool=select]", "aria-pressed") == "true"
    assert page.locator("#reject[open]").count() == 0


def test_two_people_on_one_page(visit: Callable[..., Any]) -> None:
    anna, ben = opened(visit()), opened(visit(name="ben"))
    anna.wait_for_selector("#others:has-text('Also here: ben')")
    ben.wait_for_selector("#others:has-text('Also here: anna')")
    ben.route("**/presence", lambda route: route.abort())  # ben's browser does not hear of it in time
    changes(anna, lambda: (anna.fill("#limb", "5"), anna.keyboard.press("Tab")))
    ben.fill("#speed", "50")
    ben.keyboard.press("Tab")
    ben.wait_for_selector("#tip:has-text('anna corrected this page first')")
    assert ben.input_value("#limb") == "5", "ben sees anna's correction"
    assert state_of(ben)["speed_mm_s"] == 25
    changes(ben, lambda: (ben.fill("#speed", "50"), ben.keyboard.press("Tab")))
    anna.wait_for_selector("#tip:has-text('ben: paper speed')")
    assert anna.input_value("#speed") == "50"


@pytest.mark.parametrize("out", [folder_of_two], indirect=True)
def test_a_record_of_two_pages(visit: Callable[..., Any]) -> None:
    page = opened(visit(), TWO)
    assert page.locator("#numbers button").all_inner_texts() == ["Page 1", "Page 2"]

    def shown() -> tuple[str, str]:
        pressed = page.locator("#numbers button[aria-pressed=true]").inner_text()
        return pressed, page.locator("#panel option").nth(1).inner_text().partition(",")[0]

    def leads() -> list[str]:
        return [one["lead"] for one in state_of(page, 2)["panels"]]

    assert shown() == ("Page 1", "I")
    first = page.locator("#page").screenshot()
    page.keyboard.press("p")
    until(page, lambda: shown() == ("Page 2", "V1"))
    page.wait_for_timeout(100)
    assert page.locator("#page").screenshot() != first, "the other page's picture"
    accessible(page)

    page.select_option("#panel", "0.0")
    said = changes(page, lambda: page.select_option("#lead", "V2"))
    assert said == "page 2: lead names: V1 to V2, V2 to V1"
    assert leads()[:2] == ["V2", "V1"]
    page.click("#fit")
    page.select_option("#panel", "")
    page.click("[data-tool=unreadable]")
    said = changes(page, lambda: drag(page, place(page, "3.0", 0.3, 2), place(page, "3.0", 0.5, 2)))
    assert said == "page 2: trace of V4 marked unreadable"

    page.click("text=Page 1")
    until(page, lambda: shown() == ("Page 1", "I"))
    page.click("[data-tool=nudge]")
    page.keyboard.press("]")
    page.focus("#page")
    page.keyboard.press("ArrowUp")
    said = changes(page, lambda: page.keyboard.press("p"))
    assert said == "page 1: trace of I moved by -0.10 mm down, +0.00 mm right", "sent before the page turns"
    until(page, lambda: shown()[0] == "Page 2")
    assert changes(page, lambda: page.click("#undo")) == "page 1: undone"
    until(page, lambda: shown()[0] == "Page 1")
    page.click(f"#warnings button:has-text('{CHEST_WARNING}')")
    until(page, lambda: shown()[0] == "Page 2")

    page.click("summary:text-is('Export')")
    with page.expect_download() as download:
        page.click("text=Download ZIP")
    with zipfile.ZipFile(download.value.path()) as archive:
        entry = json.loads(archive.read(f"{TWO}.json"))
    assert (entry["pages"], entry["corrected_by"]) == ([1, 2], ["anna"])
    assert {one["lead"] for one in entry["lead_status"] if one["status"] == "corrected"} == {"V1", "V2", "V4"}


@pytest.mark.slow
def test_a_page_without_a_record(visit: Callable[..., Any]) -> None:
    page = visit()
    page.click(f"#pages a:text-is('{NO_PAGE}')")
    page.wait_for_selector("#wait:has-text('Crop or turn the page and read it again')")
    assert page.inner_text("#badge") == "failed"
    page.click("summary:text-is('Crop, turn, read again')")
    page.select_option("#turns", "1")
    page.click("#reread-form button[type=submit]")
    page.wait_for_selector("#tip:not(:has-text('Reading')):not(:empty)")
    assert page.locator("#history li:not(.empty)").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [TABLET, UPRIGHT])
def test_a_tablet(visit: Callable[..., Any], size: tuple[int, int]) -> None:
    page = opened(visit(size))
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for canvas in ("#page", "#paper"):
        box = page.locator(canvas).bounding_box()
        assert box["width"] > 350
        assert box["height"] > 300
    for button in page.locator("header button, .tools button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["height"] >= 36, "large enough for a finger"
    accessible(page)


@pytest.mark.slow
def test_a_large_photo_is_smooth(visit: Callable[..., Any]) -> None:
    page = visit()
    rng = np.random.default_rng(1)
    photo = cv2.resize(rng.integers(150, 255, (375, 500, 3), np.uint8), (4000, 3000))
    _, encoded = cv2.imencode(".jpg", photo)
    page.route("**/image?*", lambda route: route.fulfill(body=encoded.tobytes(), content_type="image/jpeg"))
    opened(page)
    for scale in ("whole", "large"):
        if scale == "large":
            for _ in range(6):
                page.click("#in")
        found = page.evaluate(
            """async () => {
                const canvas = document.getElementById('page');
                performance.clearMeasures('frame');
                const times = [];
                for (let k = 0; k < 30; k++) {
                    canvas.dispatchEvent(new WheelEvent('wheel', {
                        deltaY: k % 2 ? 40 : -40, clientX: 300 + k, clientY: 400, cancelable: true }));
                    times.push(await new Promise(requestAnimationFrame));
                }
                return [times.slice(1).map((time, k) => time - times[k]),
                        performance.getEntriesByName('frame').map((one) => one.duration)];
            }"""
        )
        between, drawing = (statistics.median(one) for one in found)
        print(f"4000 x 3000, {scale}: a frame every {between:.0f} ms, {drawing:.1f} ms of it drawing")
        assert drawing < FRAME_MS
