"""What corrections of a vendor that the networks have not seen are worth.

In: records, numbers of pages, a folder that keeps what is done. Out: figures of pages of that vendor and of
usual ones that were not corrected, read before and after learning from pages that `suggest` chose, and from
as many chosen at random. Both arms choose from one pool; a simulated person corrects what they choose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_hough.batch.pages import REPORT_NAME
from ecg_hough.batch.predict import predict_pages
from ecg_hough.batch.reader import Digitizer
from ecg_hough.datasets.split import split_records
from ecg_hough.review.engine import Engine
from ecg_hough.review.library import Library
from ecg_hough.review.places import How
from ecg_hough.review.queue import QueueRow
from ecg_hough.review.store import Standing, Store
from ecg_hough.review.suggest import suggest
from ecg_hough.training.learn import LearnSettings, learn
from ecg_hough.training.learned_figures import compared, standard_pages
from ecg_hough.training.read_again import read_page_again
from ecg_lab.learn_pages import RULED, USUAL, TruePage, correct_page, draw_pages

POOL, TRIAL = "pool", "trial"
"""Pages that may be corrected, and pages that are only scored."""
ARMS = ("suggested", "random")
TRIAL_SEED = 1
"""Added to the seed of pages that are only scored."""

OnProgress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class BenchSettings:
    """Numbers of a trial.

    Attributes:
        pool, trial: pages of each kind.
        corrected: pages that an arm corrects; seed: of pages and of the random choice.
        learning: see `training.learn`.
    """

    pool: int = 30
    trial: int = 10
    corrected: int = 20
    seed: int = 41
    learning: LearnSettings = LearnSettings()  # noqa: RUF009 (frozen)


def bench(
    folder: Path,
    *,
    standard: Path,
    records: Path | None,
    settings: BenchSettings,
    on_progress: OnProgress = lambda what, done, n: None,
) -> dict[str, Any]:
    """Draw, read, correct, learn twice, and score; what is done already in the folder stays.

    Args:
        standard: see `training.learn.learn`; records: WFDB folder of which held-out ones are drawn, generated
            ECGs where None.
    """
    stems = split_records(records)[1] if records is not None else []
    kinds = {RULED: settings.pool, USUAL: settings.pool}
    pages = draw_pages(folder / POOL, kinds, settings.seed, stems)
    out = folder / "out"
    if not _are_read(out, pages):
        predict_pages(pages, out, read=Digitizer(), on_page=_counter("reading the pool", on_progress))
    master = Engine(Library(out, [folder / POOL]), Store.beside(out))
    chosen = {arm: choose(arm, master, settings) for arm in ARMS}
    correct_pages(master, folder / POOL, sorted({*chosen[ARMS[0]], *chosen[ARMS[1]]}), on_progress)
    trial = dict.fromkeys(kinds, settings.trial)
    draw_pages(folder / TRIAL, trial, settings.seed + TRIAL_SEED, stems)
    figures: dict[str, Any] = {"before": scores(folder, None, "before", on_progress)}
    for arm in ARMS:
        weights = folder / arm
        if not (weights / "learned.txt").is_file():
            engine = _arm_engine(master, out, folder, arm, chosen[arm])
            learn(
                engine, weights, standard=standard, settings=settings.learning,
                command=f"ecg-lab learn-bench, {arm} pages", on_progress=on_progress,
            )  # fmt: skip
            engine.store.close()
        kinds_chosen = [master.entries[number].stem.partition("_")[0] for number in chosen[arm]]
        figures[arm] = scores(folder, weights, arm, on_progress) | {
            "pages_of_the_vendor": kinds_chosen.count(RULED),
            "learnt": (weights / "learned.txt").read_text().splitlines()[1:],
        }
    master.store.close()
    settings_kept = {
        "pool": settings.pool, "trial": settings.trial, "corrected": settings.corrected,
        "seed": settings.seed,
        "steps": settings.learning.steps, "batch_size": settings.learning.batch_size,
        "learning_rate": settings.learning.learning_rate,
    }  # fmt: skip
    return {"settings": settings_kept, "figures": figures}


def _are_read(out: Path, pages: Sequence[Path]) -> bool:
    """Whether a run read all of the pages, or was refused them. Where the code has changed since, `predict`
    would read them again, and corrections would be of another reading."""
    report = out / REPORT_NAME
    known = json.loads(report.read_bytes())["pages"] if report.is_file() else []
    stems = {one["stem"] for one in known} | {path.stem for path in out.glob("*.hea")}
    return {path.stem for path in pages} <= stems


def correct_pages(engine: Engine, pages: Path, numbers: Sequence[int], on_progress: OnProgress) -> None:
    """Pages corrected by the simulated person, each once."""
    standings = engine.store.standings(list(numbers))
    for k, number in enumerate(numbers):
        entry = engine.entries[number]
        if standings[number].decision.decision == "open":
            true = TruePage.load(pages / f"{entry.source.removesuffix('.png')}.true.npz")
            correct_page(engine, number, true, seed=number)
        on_progress("correcting", k + 1, len(numbers))


def choose(arm: str, engine: Engine, settings: BenchSettings) -> list[int]:
    """Pages that an arm corrects; neither knows what is right."""
    if arm == "random":
        rng = np.random.default_rng(settings.seed)
        return sorted(rng.choice(list(engine.entries), settings.corrected, replace=False).tolist())
    rows = [QueueRow(number, entry, Standing()) for number, entry in engine.entries.items()]
    return [one.page_id for one in suggest(rows, settings.corrected)]


def _arm_engine(master: Engine, out: Path, folder: Path, arm: str, chosen: Sequence[int]) -> Engine:
    """The review of an arm: the corrections of its pages alone."""
    place = folder / f"{arm}.db"
    place.unlink(missing_ok=True)
    engine = Engine(Library(out, [folder / POOL]), Store(f"sqlite:///{place}"))
    of_stem = {entry.stem: number for number, entry in engine.entries.items()}
    for number in chosen:
        own = of_stem[master.entries[number].stem]
        for entry in master.store.log(number):
            engine.store.append(
                own, entry.version - 1, entry.who, entry.correction, entry.before, entry.after
            )  # fmt: skip
        decision = master.store.standing(number).decision
        engine.store.decide(own, decision.version, decision.who, decision.decision, decision.reason)
    return engine


def scores(folder: Path, weights: Path | None, name: str, on_progress: OnProgress) -> dict[str, Any]:
    """Mean Challenge SNR and wrong leads of the trial's pages by kind, read with weights; kept in a file."""
    place = folder / f"{name}.json"
    if place.is_file():
        kept: dict[str, Any] = json.loads(place.read_text())
        return kept
    usable = weights if weights is not None and list(weights.glob("*.json")) else None
    found: dict[str, dict[str, list[float]]] = {}
    pages = standard_pages(folder / TRIAL)
    for k, page in enumerate(pages):
        read, _ = read_page_again(page.path, 1, How(fs=round(page.fs)), usable)
        snr_db, wrong, _ = compared(page.signals, read, page.fs)
        of_kind = found.setdefault(page.path.name.partition("_")[0], {"snr_db": [], "wrong": []})
        known = np.isfinite(snr_db)
        of_kind["snr_db"] += snr_db[known].tolist()
        of_kind["wrong"] += wrong[known].astype(float).tolist()
        on_progress(f"scoring, {name}", k + 1, len(pages))
    out = {
        kind: {
            "leads": len(one["wrong"]),
            "snr_db": round(float(np.mean(one["snr_db"])), 2),
            "wrong_pct": round(100 * float(np.mean(one["wrong"])), 1),
        }
        for kind, one in found.items()
    }
    part = place.with_suffix(".part")
    part.write_text(json.dumps(out, indent=1) + "\n")
    os.replace(part, place)
    return out


def _counter(what: str, on_progress: OnProgress) -> Callable[[object, int], None]:
    n_done = 0

    def count(_: object, total: int) -> None:
        nonlocal n_done
        n_done += 1
        on_progress(what, n_done, total)

    return count
