"""A day's work at speed on ``python app.py``, with kills; prints a table of what was promised and what was measured.

First sixteen people click at the pace of people, with nothing else going on; that figure needs a machine that does
nothing else. Then 24 clients do everything at once, as fast as the server answers: annotate, review, run, upload,
import, export, and one training, with a copy of the store that is synced every few seconds. In the end the server is
killed several times in the middle of it, and the store is compared with what was acknowledged.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from segr1_app.domain import Box, ImageSize, ObjectMask, ObjectPrompt, Prediction, SettingsError
from segr1_app.store import AnnotationStore
from segr1_app.studio.trainings import Trainings
from segr1_app.sync import Synchroniser, remote_of
from tests.benchmarks.quality import put_between
from tests.e2e.serving import ROOT, serving
from tests.soak.client import Client, GoneError
from tests.soak.ledger import Ledger, Save
from tests.soak.watch import Watch
from tests.soak.work import SIZES, Worker, scene, workers

PICTURES: Final = 20
TASKS: Final = 200
PACE: Final = 2.0
"""Seconds between two clicks of a person who looks at what the last one did."""
WARM: Final = 0.4
"""Share of the time with everybody at work that counts as warming up."""
STUCK_SECONDS: Final = 900
PAGE: Final = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: what was measured, and whether it is as promised."""

    what: str
    measured: str
    promised: str
    kept: bool


@dataclass
class Shift:
    """Lets workers use one server after the other until they are stopped."""

    ledger: Ledger
    url: str = ""
    over: bool = False

    def work(self, worker: Worker) -> None:
        """Until the end: turns at the server of the moment; a server that is gone is waited for."""
        at = ""
        while not self.over:
            if not self.url or at == f"{self.url} gone":
                time.sleep(0.05)
                continue
            try:
                if at != self.url:
                    worker.client.visit(self.url)
                    at = self.url
                worker.turn()
            except GoneError:
                self.ledger.lost += 1
                at = f"{at or self.url} gone"
        worker.client.leave()


def fill(home: Path) -> None:
    """Tasks as ``preannotate`` leaves them, five for each picture, with a box in the middle for an answer."""
    with AnnotationStore.open(home) as store:
        for number in range(PICTURES):
            picture = scene(number, SIZES[number % len(SIZES)])
            added = store.add_picture(picture, f"{number}.png")
            for egg in range(TASKS // PICTURES):
                task = store.add_task(added, f"Find egg {egg}.")
                store.add_prediction(task.id, _prediction(picture.size, task.instruction), "checkpoint")


def _prediction(size: ImageSize, instruction: str) -> Prediction:
    width, height = size
    box = Box(width // 4, height // 4, width - width // 4, height - height // 4)
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    return Prediction(
        image_size=size,
        instruction=instruction,
        completion="<think> an egg </think>",
        policy_size=size,
        reasoning="an egg",
        objects=(ObjectPrompt(box),),
        problems=(),
        well_formed=True,
        masks=(ObjectMask(mask, 0.9),),
        mask=mask,
        seconds={"policy": 0.5},
        policy_id="policy",
        segmenter_id="segmenter",
    )


@contextmanager
def at_work(shift: Shift, people: list[Worker]) -> Iterator[None]:
    """Everybody works, each in a thread, until the block ends."""
    threads = [threading.Thread(target=shift.work, args=[each], daemon=True) for each in people]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        shift.over = True
        for thread in threads:
            thread.join()


def click_latency(url: str, seconds: float) -> list[float]:
    """Seconds of each click of sixteen people, who click every `PACE` seconds on pictures of their own."""
    ledger, over = Ledger(), time.monotonic() + seconds

    def click(number: int) -> None:
        client, rng = Client(ledger, f"quiet {number}"), random.Random(number)
        client.visit(url)
        held = client.ask("annotate", "next_task", annotator=client.name, order="imported")
        width, height = held["canvas"]["image_size"]
        objects = [{"box": None, "points": [], "name": "", "strokes": [], "start": None}]
        # The first click of a picture also waits for its embedding; it is one of thousands in a day, and of few here.
        client.ask("annotate", "decode", rev=0, picture=held["canvas"]["key"], objects=objects, exact=False)
        while time.monotonic() < over:
            time.sleep(rng.uniform(0.5, 1.5) * PACE)
            if len(objects[0]["points"]) == 8:
                objects[0]["points"] = []
            objects[0]["points"].append({"x": rng.randrange(width), "y": rng.randrange(height), "label": 1})
            client.click("annotate", held["canvas"]["key"], objects)
        client.leave()

    threads = [threading.Thread(target=click, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not ledger.faults, ledger.faults
    return ledger.clicks


def wait_for_models(url: str) -> None:
    """Until a prediction would not have to wait for them."""
    client = Client(Ledger(), "waiting")
    client.visit(url)
    client.call("models")
    client.leave()


def soak(folder: Path, calls: int, kills: int, quiet: float) -> list[Row]:
    """All of it, in an empty folder; returns the table.

    Args:
        folder: where the data folder and its copy are made.
        calls: how many are answered, at least.
        kills: of the server, in the last fifth of them.
        quiet: seconds in which people only click.
    """
    home, copy = folder / "data", folder / "copy"
    copy.mkdir()
    fill(home)
    ledger = Ledger()
    shift = Shift(ledger)
    people = workers(lambda name: Client(ledger, name), TASKS)
    begin, clicks, watch = time.monotonic(), [0.0], None
    with ExitStack() as stack:
        for life in range(kills + 1):
            with serving(folder, "--dataset", str(copy), "--sync-seconds", "5") as (url, process):
                if life == 0:
                    wait_for_models(url)
                    clicks = click_latency(url, quiet) or clicks
                    stack.enter_context(at_work(shift, people))
                shift.url = url
                goal = ledger.total + calls * (0.8 if life == 0 else 0.2 / kills)
                with Watch(process.pid) as looking:
                    if not ledger.wait_for(int(goal), STUCK_SECONDS):
                        print("The server answers too slowly, or not at all.", file=sys.stderr)
                watch = looking if life == 0 else watch
                shift.url = ""
                process.kill()
    seconds = time.monotonic() - begin
    with suppress(SettingsError):
        Trainings(home).stop()
    assert watch is not None
    return [*_figures(ledger, watch, clicks, seconds), *_stored(home, copy, ledger)]


def _figures(ledger: Ledger, watch: Watch, clicks: list[float], seconds: float) -> list[Row]:
    warm, end = watch.between(WARM, WARM + 0.2), watch.between(0.8, 1.0)
    quiet, busy = (float(np.percentile(each, 95)) * 1000 for each in (clicks, ledger.clicks))
    kinds = ", ".join(f"{count} × {kind}" for kind, count in ledger.calls.most_common())
    print(f"{kinds}\nrefused: {dict(ledger.refusals)}", *ledger.faults[:20], sep="\n", file=sys.stderr)
    return [
        Row("answered calls of 24 clients", f"{ledger.total} in {seconds:.0f} s", "", kept=True),
        Row("answers that were server errors or no answers", str(len(ledger.faults)), "0", not ledger.faults),
        Row("click, 16 people, nothing else, 95th percentile", f"{quiet:.0f} ms", "≤ 200 ms", quiet <= 200),
        Row("click, all 24 clients as fast as they can, 95th", f"{busy:.0f} ms", "", kept=True),
        Row(
            "resident memory: warm, at the end, at most",
            f"{warm.resident:.0f}, {end.resident:.0f}, {watch.peak:.0f} MiB",
            "grows ≤ 5 %, ≤ 2048 MiB",
            end.resident <= 1.05 * warm.resident and watch.peak <= 2048,
        ),
        Row(
            "file descriptors: warm, at the end",
            f"{warm.descriptors}, {end.descriptors}",
            "grow by ≤ 10",
            end.descriptors <= warm.descriptors + 10,
        ),
        Row("threads: warm, at the end", f"{warm.threads}, {end.threads}", "≤ 2 more", end.threads <= warm.threads + 2),
    ]


def _stored(home: Path, copy: Path, ledger: Ledger) -> list[Row]:
    """What the store, and one that is restored from its copy, hold of what was acknowledged."""
    with tempfile.TemporaryDirectory(dir=home) as under_way:
        with AnnotationStore.open(home) as store:
            problems = list(store.verify())
            Synchroniser(store, remote_of(str(copy)), Path(under_way)).sync()
            stored = _saves(store)
        with AnnotationStore.open(home.with_name("restored")) as restored:
            Synchroniser(restored, remote_of(str(copy)), Path(under_way)).sync()
            there = {(each.annotator, each.comment) for each in _saves(restored)}
            problems += list(restored.verify())
    lost = ledger.saves - stored
    uncopied = {each for each in ledger.saves if (each.annotator, each.comment) not in there}
    print(*problems[:5], *list(lost)[:5], sep="\n", file=sys.stderr)
    acknowledged = len(ledger.saves)
    return [
        Row("acknowledged saves that are missing", f"{len(lost)} of {acknowledged}", "0", not lost),
        Row("… in a store restored from the copy", f"{len(uncopied)} of {acknowledged}", "0", not uncopied),
        Row("calls that a kill interrupted", str(ledger.lost), "", kept=True),
        Row("what `verify` finds in both stores", str(len(problems)), "0", not problems),
    ]


def _saves(store: AnnotationStore) -> set[Save]:
    return {
        Save(each.id, each.task_id, each.annotator, each.correction.comment)
        for task in store.tasks()
        for each in store.history(task.id)
    }


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| | measured | promised |", "|---|---|---|"]
    return "\n".join(
        lines
        + [f"| {row.what} | {row.measured}{'' if row.kept else ' **(not kept)**'} | {row.promised} |" for row in rows]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--calls", type=int, default=20_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="of the server (default: %(default)s)")
    parser.add_argument(
        "--quiet", type=float, default=60, metavar="S", help="how long people only click (default: %(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = soak(Path(folder), given.calls, given.kills, given.quiet)
    text = table(rows)
    print(text)
    if given.write:
        machine = f"{os.cpu_count()} processor cores, {time.strftime('%Y-%m-%d')}"
        put_between(PAGE, "soak-table", f"{machine}:\n\n{text}")
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
