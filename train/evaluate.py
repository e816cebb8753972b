"""Score policy and segmenter with the app's pipeline, on image-mask pairs or by the protocol of a benchmark.

Pairs (``--images`` and ``--masks``) give every metric in one flat JSON object. A benchmark (``--benchmark`` and
``--data``) gives the table used in its papers together with the protocol, a log of every answer, from which an
interrupted run continues, and a page of the worst answers; ``accelerate launch -m train.evaluate`` distributes it over
GPUs.

A malformed or empty completion is scored by the mask it leads to, which is empty if nothing could be read; no answer is
left out. A picture or mask that cannot be read, or a mask whose size differs from its picture's, is listed at the end
and does not stop the others from being scored; the exit status is then 1.

With ``--against`` a second policy answers the same questions with the same segmenter, and the result compares the two:
mean differences with intervals, wins and losses, and a page of those answers that differ most.

With ``--prompts oracle`` the ground truth prompts the segmenter, which shows its quality with a perfect policy;
``--clicks`` adds simulated corrective clicks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segr1_app.domain import Effort, ModelError, SettingsError
from segr1_app.files.logs import report_errors
from segr1_app.files.outputs import check_writable, translate_write_errors
from segr1_app.language.codec import PRESETS
from segr1_app.models.pipeline import AnyPolicy, load_models
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.models.selection import choose_models
from segr1_app.settings.config import Settings, add_effort_argument, add_home_argument, add_model_arguments
from train.data.drawing import draw
from train.data.pairs import Pair, find_pairs
from train.evaluation.benchmarks.catalogue import BENCHMARKS, BLANK, find_benchmark
from train.evaluation.benchmarks.measures import FOREGROUND
from train.evaluation.benchmarks.protocol import describe_models, flat, library_versions, name_models
from train.evaluation.benchmarks.question import Question
from train.evaluation.benchmarks.run import run_benchmark
from train.evaluation.comparison import compare, pair_answers, read_answers, write_pairings
from train.evaluation.pair_report import (
    by_category,
    intervals,
    pair_question,
    read_nouns,
    sampled_table,
    write_log,
    write_worst,
)
from train.evaluation.pair_scores import METRICS, PairScores, score_pairs
from train.evaluation.report import EvaluationReport, check_scored, describe_failures
from train.finetune.run_folder import circumstances

logger = logging.getLogger("train.evaluate")

DEFINITIONS = {name: FOREGROUND.definitions[name] for name in METRICS if name in FOREGROUND.definitions} | {
    "e_measure": "enhanced-alignment measure (Fan et al., IJCAI 2018) of the mask, mean over pictures",
    "format_rate": "fraction of completions that follow the protocol's answer form",
    "confidence_rank": "Spearman's rank correlation of the segmenter's own confidence with the IoU, over answers of "
    "one object",
    "seconds": "medians over pictures",
}
TRUTH = "foreground is every pixel above half of a mask file's brightest value; paired by stem"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if data or models are invalid, even for a single pair."""
    return report_errors(_run, _parse(arguments))


def _run(given: argparse.Namespace) -> int:
    logging.getLogger("train").setLevel(logging.INFO)
    # Checked before hours of scoring, not after.
    check_writable(given.json)
    report = _score(given) if given.against is None else _compare(given)
    if report is None:
        return 0
    text = json.dumps(report.result, indent=2)
    print(text)  # noqa: T201
    if report.failures:
        kind = "pairs" if given.benchmark is None else "questions"
        count = report.result["count"] + len(report.failures)
        logger.error("%s", describe_failures(count, kind, report.failures))
    with translate_write_errors(given.json, "the result was printed above"):
        given.json.write_text(text + "\n", encoding="utf-8")
    return 1 if report.failures else 0


def _score(given: argparse.Namespace) -> EvaluationReport | None:
    return _score_pairs(given) if given.benchmark is None else _score_benchmark(given)


def _compare(given: argparse.Namespace) -> EvaluationReport | None:
    """Score both policies; returns the report of the first, with the comparison."""
    other = argparse.Namespace(**{**vars(given), "policy": given.against, "json": _beside(given.json, ".against.json")})
    page_file = _beside(given.json, ".comparison.html")
    for file in (other.json, page_file):
        check_writable(file)
    report, against = _score(given), _score(other)
    if report is None or against is None:
        return None
    with translate_write_errors(other.json, "its answers are in the log next to it"):
        other.json.write_text(json.dumps(against.result, indent=2) + "\n", encoding="utf-8")
    pairings = pair_answers(*(read_answers(_beside(of.json, ".jsonl")) for of in (given, other)))
    table = compare(pairings)
    if given.worst:
        write_pairings(
            page_file,
            against=given.against,
            table=table,
            pairings=pairings,
            questions=_questions(given),
            most=given.worst,
        )
    comparison = {"against": given.against, "result": other.json.name, **table}
    added = flat("comparison", comparison) if given.benchmark is None else {"comparison": comparison}
    return EvaluationReport(report.result | added, {**against.failures, **report.failures})


def _questions(given: argparse.Namespace) -> Iterable[Question]:
    if given.benchmark is None:
        return map(pair_question, find_pairs(given.images, given.masks).pairs)
    benchmark = find_benchmark(given.benchmark)
    return benchmark.read(benchmark.choose_split(given.split), given.data).questions


def _beside(path: Path, end: str) -> Path:
    """The file next to a result that has its name and another ending."""
    return path.with_name(f"{path.stem}{end}")


def _score_pairs(given: argparse.Namespace) -> EvaluationReport:
    settings = choose_models(Settings.from_arguments(given)).settings
    listing = find_pairs(given.images, given.masks)
    nouns = read_nouns(given.nouns)
    log_file, page_file = (_beside(given.json, end) for end in (".jsonl", ".html"))
    for text in listing.describe_unpaired():
        logger.warning("%s", text)
    pairs = draw(listing.pairs, given.limit, given.seed)
    instruction = given.instruction or PRESETS[0].text
    policy, segmenter = _load(settings, given.prompts)
    logger.info("%s", name_models(policy, settings.policy, segmenter, settings.segmenter))
    tally = PairScores()
    try:
        score_pairs(
            tqdm(pairs, unit="pair"),
            segmenter=segmenter,
            policy=policy,
            instruction=instruction,
            clicks=given.clicks,
            samples=given.samples,
            effort=Effort(given.effort),
            nouns=nouns,
            tally=tally,
        )
    except ModelError:
        if tally.records:
            write_log(log_file, tally.records)
            logger.warning("%d of %d pairs were scored before: see '%s'.", len(tally.records), len(pairs), log_file)
        raise
    check_scored(len(pairs), "pairs", tally.failures)
    scored = [pair for pair in pairs if pair.stem not in tally.failures]
    models = describe_models(policy, settings.policy, segmenter, settings.segmenter, instruction, given=True)
    write_log(log_file, tally.records)
    if given.worst:
        write_worst(page_file, scored, tally.records, tally.summary(), given.worst)
    result = {
        **tally.summary(),
        **intervals(tally.records),
        **sampled_table(tally.sampled),
        **flat("categories", by_category(tally.records)),
        "failed": len(tally.failures),
        "unpaired_images": len(listing.unpaired_images),
        "unpaired_masks": len(listing.unpaired_masks),
        "protocol": f"{given.prompts} prompts, {given.clicks} clicks",
        "instruction": instruction if policy else None,
        "policy": policy.model_id if policy else None,
        "segmenter": segmenter.model_id,
        "images": str(given.images),
        "masks": str(given.masks),
        "limit": given.limit,
        "seed": given.seed,
        **flat("protocol", {**_pairs_protocol(scored, models, given.clicks), "effort": given.effort}),
        **flat("circumstances", {**circumstances(), "device": str(segmenter.device)}),
    }
    return EvaluationReport(result, tally.failures)


def _load(settings: Settings, prompts: str) -> tuple[AnyPolicy | None, Sam2Segmenter]:
    """The models that are needed: the ground truth prompts without a policy."""
    if prompts == "policy":
        return load_models(settings)
    return None, Sam2Segmenter.load(settings.segmenter, device=settings.device)


def _pairs_protocol(pairs: Sequence[Pair], models: Mapping[str, Any], clicks: int) -> dict[str, Any]:
    """Every choice that affects a number; see `train.evaluation.benchmarks.protocol`."""
    digest = hashlib.sha256()
    for pair in pairs:
        for file in (pair.image, pair.mask):
            digest.update(file.read_bytes())
    return {
        "pairs_sha256": digest.hexdigest(),
        **models,
        "clicks": "each at the deepest point of the largest wrong region, for the object whose box is nearest; the "
        "masks are decoded again from all prompts"
        if clicks
        else None,
        "pictures": "EXIF rotation applied, RGB, original size; the mask has that size too",
        "truth": TRUTH,
        "metrics": DEFINITIONS,
        "metric_libraries": library_versions(),
    }


def _score_benchmark(given: argparse.Namespace) -> EvaluationReport | None:
    benchmark = find_benchmark(given.benchmark)
    if given.json.suffix != ".json":
        raise SettingsError(f"--json {given.json} does not end in .json: log and page are named after it.")
    log_file, page_file = (_beside(given.json, end) for end in (".jsonl", ".html"))
    for file in (log_file, page_file):
        check_writable(file)
    return run_benchmark(
        benchmark,
        split=benchmark.choose_split(given.split),
        instruction=given.instruction,
        data=given.data,
        settings=choose_models(Settings.from_arguments(given)).settings,
        oracle=given.prompts == "oracle",
        effort=Effort(given.effort),
        limit=given.limit,
        seed=given.seed,
        log_file=log_file,
        page_file=page_file,
        worst=given.worst,
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    given = parser.parse_args(arguments)
    pairs, benchmark = (given.images, given.masks), (given.benchmark, given.data)
    if None in pairs and None in benchmark:
        parser.error("give --images and --masks, or --benchmark and --data")
    if any(value is not None for value in pairs) and any(value is not None for value in benchmark):
        parser.error("--images and --masks are for pairs, --benchmark and --data for a benchmark: give one of the two")
    if given.benchmark is None and given.split is not None:
        parser.error("--split is for benchmarks")
    if given.against is not None and given.prompts == "oracle":
        parser.error("--against compares two policies: leave out --prompts oracle")
    if given.benchmark is not None and given.clicks:
        parser.error("--clicks is for pairs: no benchmark has a person click")
    return given


# Longer than 60 lines: it only declares arguments, one after the other.
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    pairs = parser.add_argument_group(
        "pairs", "Files with the same stem, whatever their extensions; files without a partner are listed and left out."
    )
    pairs.add_argument("--images", type=Path, metavar="DIR", help="folder of images")
    pairs.add_argument("--masks", type=Path, metavar="DIR", help="folder of masks with the same stems")
    pairs.add_argument(
        "--clicks",
        type=_count,
        default=0,
        metavar="N",
        help="corrective clicks, each at the deepest point of the largest error region (default: %(default)s)",
    )
    pairs.add_argument(
        "--samples",
        type=_count,
        default=0,
        metavar="N",
        help="also sample N answers per picture at temperature 1, for best-of-n and pass@k (default: none)",
    )
    pairs.add_argument(
        "--nouns",
        type=Path,
        metavar="CSV",
        help="what pictures show, by the columns 'stem' and 'noun'",
    )
    benchmarks = parser.add_argument_group("benchmarks")
    benchmarks.add_argument("--benchmark", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    benchmarks.add_argument("--data", type=Path, metavar="DIR", help="folder of the set, in its original layout")
    benchmarks.add_argument(
        "--split",
        metavar="NAME",
        help="RefCOCO and RefCOCO+: val, testA, testB; RefCOCOg: val, test; ReasonSeg: val, test; a partition may "
        "precede it, as in google/val (default: val of unc, of umd for RefCOCOg)",
    )
    parser.add_argument(
        "--worst",
        type=_count,
        default=20,
        metavar="N",
        help="number of answers on the page of the worst (default: %(default)s; 0: no page)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        required=True,
        metavar="OUT",
        help="file for the result; log (.jsonl) and page of the worst (.html) are written next to it under the "
        "same name, and "
        "answers already in a benchmark's log are not computed again",
    )
    parser.add_argument(
        "--prompts",
        choices=("policy", "oracle"),
        default="policy",
        help="what prompts the segmenter: the policy, or the ground truth's box and deepest point (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--instruction",
        metavar="TEXT",
        help=f"what to find (default: {PRESETS[0].text}); for a benchmark with its own questions, a template in "
        f"which {BLANK} stands for the question (default: the prompt of the policy's own "
        "protocol; for policies trained here, those of the paper)",
    )
    parser.add_argument(
        "--against",
        metavar="ID|DIR",
        help="a second policy, compared with the first on the same questions: a model folder or a hub id, or with "
        "--policy-server the name of another model that it serves (default: none)",
    )
    add_effort_argument(parser)
    parser.add_argument("--limit", type=_positive, metavar="N", help="score only N random ones, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of that draw (default: %(default)s)")
    add_home_argument(parser)
    add_model_arguments(parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a non-negative integer")
    return int(text)


def _positive(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
