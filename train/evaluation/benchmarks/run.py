"""Run a benchmark from its questions to its table, with any number of processes."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm

from segr1_app.domain import DatasetError, Effort, PictureError
from segr1_app.geometry import encode_rle
from segr1_app.images.pictures import load_picture
from segr1_app.language.protocol import TaskKind
from segr1_app.language.protocol_files import DEFAULT
from segr1_app.models.loading import resolve_device
from segr1_app.models.pipeline import AnyPolicy, load_models
from segr1_app.models.policy_server import IN_FLIGHT, ServerPolicy
from segr1_app.models.segmenter import Sam2Segmenter
from segr1_app.settings.config import Settings
from segr1_app.studio.results import prompt_record
from train.data.drawing import draw
from train.evaluation.answering import find_answer
from train.evaluation.benchmarks.catalogue import BLANK, Benchmark
from train.evaluation.benchmarks.log import AnswerLog
from train.evaluation.benchmarks.measures import ScoringMethod
from train.evaluation.benchmarks.page import write_page
from train.evaluation.benchmarks.protocol import describe_protocol, name_models
from train.evaluation.benchmarks.question import AnswerRecord, Question, QuestionSet
from train.evaluation.report import EvaluationReport, check_scored
from train.finetune.run_folder import circumstances

logger = logging.getLogger(__name__)

PATIENCE = timedelta(days=2)
"""How long a process waits for the others, whose questions may take longer; the libraries' own limit is only
minutes.
"""


# Longer than 60 lines: half of it passes arguments by name to the steps of a run.
def run_benchmark(
    benchmark: Benchmark,
    *,
    split: str,
    instruction: str | None,
    data: Path,
    settings: Settings,
    oracle: bool,
    limit: int | None,
    seed: int,
    log_file: Path,
    page_file: Path,
    worst: int,
    effort: Effort = Effort.QUICK,
) -> EvaluationReport | None:
    """Answer all questions that are not in the log yet, then score the whole set.

    A question whose picture or target cannot be read is reported as a failure and not logged: running the same command
    again retries it.

    Args:
        benchmark, split: the benchmark and its split.
        instruction: a prompt template; None for the prompts of the policy's own protocol, or, for a policy trained by
            this project, for the benchmark's template.
        data: the set's folder.
        settings: the models, and how to run them.
        oracle: whether the ground truth prompts the segmenter instead of the policy.
        limit, seed: as for `train.data.drawing.draw`.
        log_file: one JSON line per answer; answers that it already contains for this protocol are not computed again.
        page_file: an HTML page of the worst answers.
        worst: the number of answers on it; 0 for no page.
        effort: how much work each of the policy's answers is worth.

    Returns:
        Table, protocol and circumstances, and the failures by question id; None in all processes but the first.

    Raises:
        SegR1Error: when the set or a model cannot be read, no question can be answered, the log is of another protocol,
            or log or page cannot be written.
    """
    template = benchmark.choose_template(instruction)
    state = PartialState(cpu=resolve_device(settings.device).type == "cpu", timeout=PATIENCE)
    device = str(state.device) if state.num_processes > 1 else settings.device
    found = benchmark.read(split, data)
    if state.is_main_process:
        _warn_of_other_count(benchmark, found)
    questions = draw(found.questions, limit, seed)
    policy: AnyPolicy | None = None
    if oracle:
        segmenter = Sam2Segmenter.load(settings.segmenter, device=device)
    else:
        policy, segmenter = load_models(replace(settings, device=device))
    # A policy of another family understands only the prompts of its own protocol.
    by_protocol = policy is not None and instruction is None and policy.protocol.name != DEFAULT
    tasks = sorted({benchmark.task(question) for question in questions}) if by_protocol else []
    if state.is_main_process:
        logger.info("%s", name_models(policy, settings.policy, segmenter, settings.segmenter))
    protocol = describe_protocol(
        benchmark,
        split,
        questions,
        template=template,
        limit=limit,
        seed=seed,
        policy=policy,
        policy_source=settings.policy,
        segmenter=segmenter,
        segmenter_source=settings.segmenter,
        tasks=tasks,
        given=instruction is not None,
    )
    # Logs from before there were efforts are of quick answers.
    if effort is not Effort.QUICK:
        protocol["effort"] = effort.value

    at_once = IN_FLIGHT if isinstance(policy, ServerPolicy) else 1

    def answer(question: Question) -> AnswerRecord:
        asked = None if by_protocol else template
        return _answer(
            question,
            benchmark=benchmark,
            template=asked,
            data=data,
            policy=policy,
            segmenter=segmenter,
            effort=effort,
        )

    with AnswerLog(log_file, state.process_index) as log:
        if state.is_main_process:
            log.begin(protocol)
        failed = _answer_open_questions(questions, answer, log, state, title=benchmark.name, at_once=at_once)
        if not state.is_main_process:
            return None
        log.end()
    check_scored(len(questions), "questions", failed)
    answers = log.records()
    answered = [(question, answers[question.id]) for question in questions if question.id not in failed]
    table = {**_table([record for _, record in answered], benchmark.measures), "failed": len(failed)}
    if worst:
        order = sorted(answered, key=lambda pair: pair[1]["scores"]["iou"])[:worst]
        write_page(page_file, " ".join(part for part in (benchmark.name, split) if part), table, order)
    result = {
        "benchmark": benchmark.name,
        "split": split,
        **table,
        "groups": _group_tables([record for _, record in answered], benchmark.measures),
        "data": {"folder": str(data), **found.found},
        "protocol": protocol,
        "circumstances": {**circumstances(), "device": str(segmenter.device), "processes": state.num_processes},
    }
    return EvaluationReport(result, failed)


def _warn_of_other_count(benchmark: Benchmark, found: QuestionSet) -> None:
    """Log a warning if the number of pictures differs from that of published tables."""
    published = found.found.get("published_count")
    if published not in (None, len(found.questions)):
        logger.warning(
            "The published tables of %s score %d pictures; this folder has %d.",
            benchmark.name,
            published,
            len(found.questions),
        )


def _answer_open_questions(
    questions: Sequence[Question],
    answer: Callable[[Question], AnswerRecord],
    log: AnswerLog,
    state: PartialState,
    *,
    title: str,
    at_once: int,
) -> dict[str, str]:
    """Answer the questions missing from the log, distributed over all processes; returns failures by question id."""
    state.wait_for_everyone()
    answered = log.records()
    open_questions = [question for question in questions if question.id not in answered]
    failures: list[tuple[str, str]] = []
    # Neighbouring questions stay together: they are often about the same picture, which is then encoded once.
    with (
        state.split_between_processes(open_questions) as share,
        tqdm(total=len(share), desc=title, unit="question", disable=not state.is_main_process) as bar,
    ):
        for question, result in _in_flight(answer, share, at_once):
            try:
                log.add(result())
            except (PictureError, DatasetError) as error:
                failures.append((question.id, str(error)))
            bar.update()
    # Gathering waits until all processes have written their last answers.
    return dict(gather_object(failures))


def _group_tables(records: Sequence[AnswerRecord], measures: ScoringMethod) -> dict[str, dict[str, Any]]:
    groups = sorted({record["group"] for record in records} - {""})
    return {group: _table([record for record in records if record["group"] == group], measures) for group in groups}


def _in_flight(
    answer: Callable[[Question], AnswerRecord], questions: Iterable[Question], at_once: int
) -> Iterator[tuple[Question, Callable[[], AnswerRecord]]]:
    """Yield the questions, each with a function that returns its answer, with up to ``at_once`` concurrent requests;
    what was answered comes before what failed.
    """
    if at_once == 1:
        yield from ((question, partial(answer, question)) for question in questions)
        return
    pool = ThreadPoolExecutor(at_once, "ask")
    asked: dict[Future[AnswerRecord], Question] = {}
    coming = iter(questions)
    try:
        while True:
            for question in islice(coming, at_once - len(asked)):
                asked[pool.submit(answer, question)] = question
            if not asked:
                return
            done, others = wait(asked, return_when=FIRST_COMPLETED)
            if others and any(future.exception() for future in done):
                # A failure may end the run: what is being answered is logged before.
                done, _ = wait(asked)
            for future in sorted(done, key=lambda each: each.exception() is not None):
                yield asked.pop(future), future.result
    finally:
        pool.shutdown(cancel_futures=True)


def _answer(
    question: Question,
    *,
    benchmark: Benchmark,
    template: str | None,
    data: Path,
    policy: AnyPolicy | None,
    segmenter: Sam2Segmenter,
    effort: Effort,
) -> AnswerRecord:
    """Ask a question with a template, or, without one, with the policy's own protocol."""
    picture = load_picture(question.image)
    target = question.target(picture.size)
    task = TaskKind.FREE if template is not None else benchmark.task(question)
    instruction = question.text if template is None else template.replace(BLANK, question.text)
    answer = find_answer(
        picture,
        target.mask,
        segmenter=segmenter,
        policy=policy,
        instruction=instruction,
        task=task,
        effort=effort,
    )
    place = question.image
    return {
        "id": question.id,
        "image": (place.relative_to(data) if place.is_relative_to(data) else place).as_posix(),
        "group": question.group,
        "instruction": instruction,
        "task": task.value,
        "completion": answer.completion,
        "well_formed": answer.well_formed,
        "objects": [prompt_record(prompt) for prompt in answer.objects],
        "mask": encode_rle(answer.mask),
        "scores": benchmark.measures.score(answer.mask, target),
        "seconds": {stage: round(value, 4) for stage, value in answer.seconds.items()},
    }


def _table(records: Sequence[AnswerRecord], measures: ScoringMethod) -> dict[str, Any]:
    formed = [record["well_formed"] for record in records if record["well_formed"] is not None]
    return {
        "count": len(records),
        **measures.table([record["scores"] for record in records]),
        "format_rate": statistics.fmean(formed) if formed else None,
        **{
            f"seconds_{stage}": round(statistics.median(record["seconds"][stage] for record in records), 4)
            for stage in records[0]["seconds"]
        },
    }
