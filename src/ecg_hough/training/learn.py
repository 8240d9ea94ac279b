"""Learn from the corrections of a review: the trace network fine-tuned, the model of trust recalibrated.

In: a review, a folder, a standard set. Out: `traces.onnx` with its card, and `trust.json`, each only where it
is better; `predict --weights` takes the folder. The trace network goes on from the weights so far on strips
of corrected pages, mixed with strips of drawn ones, so that nothing is forgotten. Candidates are the trained
network and its means with the old one (Wortsman et al. 2022, arXiv 2203.05482). The one that gains most on
pages held out from the corrections is taken, if it gains there and loses nothing on the standard set.

What it does not learn: names, layouts and landmarks. Their networks and the weights of the choice of layouts
(`signals.choose_layout`) stay as they are; corrections of them only count in the model of trust.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_hough.networks.runtime import TRUST_NAME, WEIGHTS
from ecg_hough.output.export import json_bytes
from ecg_hough.output.files import move_all, staging, sum_of
from ecg_hough.review.engine import Engine
from ecg_hough.signals.trust import TrustModel
from ecg_hough.traces.tiles import TRACE_NETWORK
from ecg_hough.training.candidates import SHARES, candidates
from ecg_hough.training.corrected_pages import CorrectedPage, file_of, pages_of
from ecg_hough.training.learned_figures import Figures, StandardPage, measure, standard_pages
from ecg_hough.training.trust_recalibration import JudgedPage, Recalibration, recalibrate

WORK = "learning"
"""Folder, below that of the weights, of what a run has done so far; it holds pages, and goes in the end."""
REPORT = "learned.txt"
TRAINED_MIN, HELD_OUT_MIN = 3, 2
"""Corrected pages to train on, and held out, without which nothing is learnt."""
log = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class LearnSettings:
    """How the trace network learns.

    Attributes:
        steps, batch_size, learning_rate, seed: see `trace_train.TraceTrainSettings`.
        share: of the pages that are corrected ones; the others are drawn.
        records: WFDB folder that drawn pages show; generated ECGs alone where None.
        threads: of torch; None takes all cores.
    """

    steps: int = 300
    batch_size: int = 4
    learning_rate: float = 3e-4
    seed: int = 0
    share: float = 0.5
    records: Path | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Learned:
    """What was learnt.

    Attributes:
        trained_on, held_out: corrected pages; without: reason by stem of pages that could not be read.
        figures: on held-out pages and the standard set, of "before" and of every candidate.
        taken: the candidate whose network was written; None keeps the old one.
        trust: recalibration; None of too few pages. trust_taken: whether it was written.
    """

    trained_on: int
    held_out: int
    without: dict[str, str]
    figures: dict[str, Figures]
    taken: str | None
    trust: Recalibration | None
    trust_taken: bool

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person wants to know of it."""
        before = self.figures["before"]
        out = [f"{self.trained_on} corrected pages were learnt, {self.held_out} held out"]
        for name, one in self.figures.items():
            out.append(
                f"{name}: corrected leads {one.corrected_db:.1f} dB, {one.wrong} of {one.leads} leads wrong,"
                f" standard set {one.standard_db:.2f} dB"
            )
        if self.taken is None:
            out.append(
                "the trace network stays as it was: no candidate is better on the held-out pages without a"
                " loss on the standard set"
            )
        else:
            gain = self.figures[self.taken].corrected_db - before.corrected_db
            out.append(f"the trace network ({self.taken}) is exchanged: {gain:+.1f} dB")
        if self.trust is None:
            out.append("trust stays as it was: too few pages")
        else:
            done = "recalibrated" if self.trust_taken else "stays as it was"
            losses = (
                f"log loss of left-out pages {self.trust.loss_before:.3f} before, {self.trust.loss_after:.3f}"
            )
            out.append(f"trust {done}: {losses} after, {self.trust.pages} pages")
        return tuple(out)


def learn(
    engine: Engine,
    out: Path,
    *,
    standard: Path,
    command: str,
    settings: LearnSettings | None = None,
    on_progress: OnProgress = lambda what, done, n: None,
) -> Learned:
    """Learn from a review; a run that was stopped goes on where it was.

    Args:
        engine: of the review; out: folder of the weights. What an earlier run wrote there is gone on from.
        standard: folder of pages with their truth, see `learned_figures.standard_pages`.
        command: for the cards.
        on_progress: called with what is done, how far, and of how many.
    Raises:
        ValueError: too few corrected pages, no standard set, or weights in `out` that are none.
        PageError: stage "export": the folder cannot be written.
    """
    settings = settings or LearnSettings()
    checked_on = standard_pages(standard)
    work = out / WORK
    pages, without = pages_of(engine, work / "pages", lambda k, n: on_progress("pages", k, n))
    held_out = [page for page in pages if page.held_out]
    train_on = [page for page in pages if not page.held_out and file_of(page, work / "pages").is_file()]
    _check_enough(train_on, held_out, without)
    old = out if (out / f"{TRACE_NETWORK}.onnx").is_file() or (out / TRUST_NAME).is_file() else None
    start, trust_file = (_so_far(out, name) for name in (f"{TRACE_NETWORK}.onnx", TRUST_NAME))
    state = _State(work, _of([*train_on, *held_out], checked_on, (start, trust_file), settings))
    run = _train(train_on, start, work, settings, on_progress)
    total = (len(SHARES) + 1) * (len(held_out) + len(checked_on))
    n_done = 0

    def count() -> None:
        nonlocal n_done
        n_done += 1
        on_progress("comparing", n_done, total)

    figures, judged = {}, {}
    for name, folder in {"before": old, **candidates(run, start, work, trust_file)}.items():
        figures[name], judged[name] = state.once(
            name, lambda folder=folder: measure(folder, held_out, checked_on, count)  # type: ignore[misc]
        )  # fmt: skip
    better = [name for name in SHARES if figures[name].is_better_than(figures["before"])]
    taken = max(better, key=lambda name: figures[name].corrected_db, default=None)
    chosen = judged[taken or "before"]
    if taken is None and start.parent == WEIGHTS:
        # The shipped network has not seen them either.
        others = measure(old, train_on, (), lambda: on_progress("judging", 0, len(train_on)))[1]
        chosen = [*chosen, *others]
    trust = recalibrate(chosen)
    trust_taken = trust is not None and trust.is_better
    result = Learned(len(train_on), len(held_out), without, figures, taken, trust, trust_taken)
    _write(result, out, work, train_on, command, settings)
    shutil.rmtree(work, ignore_errors=True)
    return result


def _so_far(out: Path, name: str) -> Path:
    """A file of weights that an earlier run wrote, or the shipped one."""
    return out / name if (out / name).is_file() else WEIGHTS / name


def _check_enough(
    train_on: Sequence[CorrectedPage], held_out: Sequence[CorrectedPage], without: dict[str, str]
) -> None:
    n, n_held = (sum(page.is_corrected for page in pages) for pages in (train_on, held_out))
    if n < TRAINED_MIN or n_held < HELD_OUT_MIN:
        unread = f"; {len(without)} cannot be read" if without else ""
        raise ValueError(
            f"learning needs at least {TRAINED_MIN} corrected pages to train on and {HELD_OUT_MIN} that are"
            f" held out, as one in four is; the review has {n} and {n_held}{unread}. Correct more pages"
        )


def _of(
    pages: Sequence[CorrectedPage],
    standard: Sequence[StandardPage],
    so_far: Sequence[Path],
    settings: LearnSettings,
) -> str:
    """Hash of all that a run depends on."""
    known = [page.key for page in pages], [sum_of(one.path) for one in standard], *map(sum_of, so_far)
    text = json.dumps([*known, asdict(settings)], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _State:
    """What a run has measured, kept in its folder so that a stopped run goes on.

    A run of other pages, weights or settings begins anew.
    """

    def __init__(self, work: Path, of: str) -> None:
        self._path = work / "state.json"
        known = json.loads(self._path.read_bytes()) if self._path.is_file() else {}
        if known.get("of") != of:
            for name in ("run", *SHARES):
                shutil.rmtree(work / name, ignore_errors=True)
            known = {"of": of, "done": {}}
        self._known = known
        self._save()

    def once(
        self, name: str, compute: Callable[[], tuple[Figures, list[JudgedPage]]]
    ) -> tuple[Figures, list[JudgedPage]]:
        """Figures that are computed where they are not kept."""
        import numpy as np

        if name not in self._known["done"]:
            figures, judged = compute()
            leads = [[one.probability.tolist(), one.right.tolist()] for one in judged]
            self._known["done"][name] = {"figures": asdict(figures), "judged": leads}
            self._save()
        kept = self._known["done"][name]
        pages = [JudgedPage(np.array(p, float), np.array(right, bool)) for p, right in kept["judged"]]
        return Figures(**kept["figures"]), pages

    def _save(self) -> None:
        with staging(self._path.parent) as stage:
            (stage / self._path.name).write_bytes(json_bytes(self._known))
            move_all(stage, self._path.parent, [self._path.name])


def _train(
    pages: Sequence[CorrectedPage],
    start: Path,
    work: Path,
    settings: LearnSettings,
    on_progress: OnProgress,
) -> Path:
    """The run folder of the fine-tuned network."""
    from ecg_hough.training.trace_data import Corrected
    from ecg_hough.training.trace_train import CHECKPOINT, TraceTrainSettings, train_traces

    run = work / "run"
    if (run / "finished").is_file():
        return run
    files = tuple(file_of(page, work / "pages") for page in pages)
    how = TraceTrainSettings(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        threads=settings.threads,
        start_from=start,
        save_minutes=2.0,
        corrected=Corrected(files, settings.share),
    )
    train_traces(
        how, records=settings.records, out=run,
        on_step=lambda step, n, _: on_progress("training", step, n),
    )  # fmt: skip
    assert (run / CHECKPOINT).is_file()
    (run / "finished").touch()
    return run


def _write(
    result: Learned,
    out: Path,
    work: Path,
    pages: Sequence[CorrectedPage],
    command: str,
    settings: LearnSettings,
) -> None:
    """The taken weights with their cards, and the report: all of them, or none."""
    names = []
    with staging(out) as stage:
        if result.taken is not None:
            folder = work / result.taken
            shutil.copyfile(folder / f"{TRACE_NETWORK}.onnx", stage / f"{TRACE_NETWORK}.onnx")
            card = json.loads((folder / f"{TRACE_NETWORK}.json").read_bytes())
            earlier = json.loads(_so_far(out, f"{TRACE_NETWORK}.json").read_bytes())
            card = _card(card, earlier, result, len(pages), command, settings)
            (stage / f"{TRACE_NETWORK}.json").write_bytes(json_bytes(card))
            names += [f"{TRACE_NETWORK}.onnx", f"{TRACE_NETWORK}.json"]
        if result.trust_taken and result.trust is not None:
            path = _so_far(out, TRUST_NAME)
            data = json.loads(path.read_bytes())
            data["calibration"] = list(result.trust.of(TrustModel.read(path)).calibration)
            data["learned"] = {"command": command, "from": sum_of(path), **asdict(result.trust)}
            (stage / TRUST_NAME).write_bytes(json_bytes(data))
            names.append(TRUST_NAME)
        (stage / REPORT).write_text("\n".join((command, *result.sentences)) + "\n", encoding="utf-8")
        move_all(stage, out, [*names, REPORT])


def _card(
    card: dict[str, Any],
    earlier: dict[str, Any],
    result: Learned,
    n_pages: int,
    command: str,
    settings: LearnSettings,
) -> dict[str, Any]:
    """The card of a fine-tuned network: what the old one was trained on, it was trained on, too."""
    data, before = dict(card["data"]), dict(earlier.get("data", {}))
    names = sorted({*before.get("record_names", ()), *data.get("record_names", ())})
    patients = sorted({*before.get("patient_ids", ()), *data.get("patient_ids", ())})
    merged = {**before, "pages": "rendered during training, and pages that people corrected"}
    merged |= {"records": len(names), "record_names": names} if names else {}
    merged |= {"patient_ids": patients} if patients else {}
    merged["corrected_pages"] = int(before.get("corrected_pages", 0)) + n_pages
    training = {
        **card["training"],
        "command": command,
        "share_of_corrected_pages": settings.share,
        "share_of_trained_weights": SHARES[result.taken or "trained"],
        "started_from": {"name": earlier["name"], "sha256": earlier["sha256"]},
        "before": earlier.get("training", {}),
    }
    figures = {
        "held_out_pages": asdict(result.figures[result.taken or "before"]),
        "before": asdict(result.figures["before"]),
    }
    return card | {"data": merged, "training": training, "figures": figures}
