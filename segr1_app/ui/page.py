"""The page: a header that says which models run, and a tab for each activity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from segr1_app.domain import NotAllowedError, StoreError
from segr1_app.models.concepts import ConceptHost
from segr1_app.models.downloads import Download
from segr1_app.models.host import ModelHost
from segr1_app.people.access import access_of
from segr1_app.people.accounts import People
from segr1_app.people.audit import AuditLog
from segr1_app.people.sign_in import SignIn, asked_from
from segr1_app.settings.config import Settings
from segr1_app.settings.roles import Act
from segr1_app.settings.space import Space
from segr1_app.store import AnnotationStore
from segr1_app.studio.canvas import CanvasHandlers
from segr1_app.studio.contracts import Header, RemoteCopy
from segr1_app.studio.recording import RunRecorder
from segr1_app.studio.samples import find_samples
from segr1_app.studio.sessions import CanvasSessions
from segr1_app.studio.trainings import Trainings
from segr1_app.sync import Synchroniser
from segr1_app.ui.gate.endpoints import Gate
from segr1_app.ui.gate.guarded import GuardedBlocks
from segr1_app.ui.gate.rates import RateLimiter
from segr1_app.ui.handlers.annotate import JobHandlers
from segr1_app.ui.handlers.classes import ClassHandlers
from segr1_app.ui.handlers.exports import ExportHandlers
from segr1_app.ui.handlers.imports import ImportHandlers
from segr1_app.ui.handlers.models import DownloadHandlers
from segr1_app.ui.handlers.review import ReviewHandlers
from segr1_app.ui.handlers.run import RunHandlers
from segr1_app.ui.handlers.second import SecondPolicyHandlers
from segr1_app.ui.handlers.train import TrainingHandlers
from segr1_app.ui.tabs.annotate import build_annotate_tab
from segr1_app.ui.tabs.audit_panel import build_audit_panel
from segr1_app.ui.tabs.guide import build_guide_tab
from segr1_app.ui.tabs.review import build_progress_tab, build_review_tab
from segr1_app.ui.tabs.run import build_run_tab
from segr1_app.ui.tabs.train import build_train_tab
from segr1_app.ui.theme import SIGN_IN, build_theme
from segr1_app.ui.views import STATIC, STYLES, header_value, view

CALLS_PER_SECOND = 20.0
"""Sustained rate for one person: more clicks than anybody can make, and a prediction every other second."""
CALLS_AT_ONCE = 400.0
MAX_UPLOAD = "512mb"
"""Largest upload from another machine in bytes: an archive of about a hundred photographs."""
MAX_WAITING = 200
"""Longest queue of gradio; further requests are refused because it is full."""


def sign_in(people: People, audit: AuditLog) -> Callable[[str, str], Awaitable[bool]]:
    """The password check that gradio calls; it does not block other requests."""
    desk = SignIn(people)

    async def check(name: str, password: str) -> bool:
        try:
            right = await desk.check(name, password)
            audit.note("sign-in" if right else "sign-in-failed", person=name, address=asked_from.get())
            return right
        except NotAllowedError as error:
            audit.note("refused", person=name, address=asked_from.get(), detail="signing in too often")
            raise HTTPException(429, str(error)) from error

    return check


# Longer than 60 lines: it lists everything on the page in order.
def build_app(
    models: ModelHost, cache: Path, store: AnnotationStore, synchroniser: Synchroniser | None = None
) -> gr.Blocks:
    """Build the page; nothing is loaded and nothing is served yet.

    Args:
        models: the models behind the page, loading or loaded.
        cache: an existing folder for previews and downloads; the same as gradio's ``GRADIO_TEMP_DIR``.
        store: keeps the annotators' work.
        synchroniser: keeps a remote copy of it; None for no copy.

    Returns:
        The page; launch it with `launch_options`.
    """
    settings = models.settings
    access = access_of(settings)
    proxied = Space.from_environ() is not None or bool(settings.allowed_hosts)
    audit = AuditLog(settings.home)
    gate = Gate(
        access, RateLimiter(CALLS_PER_SECOND, CALLS_AT_ONCE), proxied=proxied, alone=settings.alone, audit=audit
    )

    def follow_models(request: gr.Request, profile: gr.OAuthProfile | None) -> Iterator[Header]:
        """Report the state of the models to an open page until they are loaded or have failed to load."""
        person = gate.person_of(request, profile)
        models.start()
        if not models.wait(seconds=0):
            yield header_value(models.status, person, access.sign_in)
            models.wait()
        yield header_value(models.status, person, access.sign_in)

    def unlock(request: gr.Request, profile: gr.OAuthProfile | None) -> list[Any]:
        """Show admins what only they may see."""
        visible = gate.person_of(request, profile).may(Act.ADMINISTER)
        return [gr.update(visible=visible) for _ in for_admins]

    sessions = CanvasSessions()
    canvas = CanvasHandlers(models, cache, sessions, RunRecorder(store, models))
    concepts = ConceptHost(settings.concepts, settings.device)
    jobs = JobHandlers(store, models, cache=cache, sessions=sessions, canvas=canvas, concepts=concepts)
    # The hub login of this machine must not be used for visitors of the page.
    imports = ImportHandlers(store, cache, hub_token=None if models.settings.offers_training else False)
    reviews = ReviewHandlers(store, cache)
    page = GuardedBlocks(settings, STATIC, title="Seg-R1", analytics_enabled=False, fill_width=True)
    with page:
        header = build_header(models, gate, synchroniser)
        # The models have changed: they must be loaded before anybody can run them.
        header.select(follow_models, None, header, api_visibility="private", show_progress="hidden")
        if access.sign_in == "hub":
            gr.LoginButton(size="sm", elem_id="sign-in")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with gr.Tab("Run", id="run"):
                runs = RunHandlers(models, cache, sessions)
                build_run_tab(runs, SecondPolicyHandlers(models, runs, store), canvas, find_samples(), gate)
            with gr.Tab("Annotate", id="annotate-tab"):
                for_admins: list[Any] = [
                    *build_annotate_tab(
                        jobs, canvas, imports, ExportHandlers(store, cache), gate, classes=ClassHandlers(store)
                    ),
                    build_audit_panel(
                        audit, gate, visible=access.sign_in == "none" and access.possible(Act.ADMINISTER)
                    ),
                ]
            with gr.Tab("Review", id="review-tab"):
                build_review_tab(reviews, gate)
            with gr.Tab("Progress", id="progress-tab"):
                build_progress_tab(reviews, gate)
            if access.possible(Act.ADMINISTER):
                with gr.Tab("Train", id="train-tab", visible=access.sign_in == "none") as train_tab:
                    for_admins.append(train_tab)
                    training = TrainingHandlers(Trainings(settings.home), models, store, cache)
                    # A policy was chosen: it must be loaded before anybody can run it.
                    build_train_tab(training, gate).change(
                        follow_models, None, header, api_visibility="private", show_progress="hidden"
                    )
            with gr.Tab("Guide", id="guide-tab"):
                build_guide_tab()
        if access.sign_in != "none":
            page.load(unlock, None, for_admins, api_visibility="private", show_progress="hidden")
        page.load(follow_models, None, header, api_name="models", show_progress="hidden", concurrency_limit=None)
    page.queue(max_size=None if settings.alone else MAX_WAITING)
    return page


def build_header(models: ModelHost, gate: Gate, synchroniser: Synchroniser | None) -> gr.HTML:
    """The line above the tabs; it offers admins the download of the full models where this machine can run them.

    Its view fires ``select`` when other models are chosen.
    """

    def sync_state() -> RemoteCopy:
        """The state of the remote copy."""
        if synchroniser is None:
            return {"remote": None, "at": None, "waiting": 0, "failure": ""}
        state = synchroniser.state
        return {"remote": state.remote, "at": state.at, "waiting": state.waiting, "failure": state.failure}

    calls = [gate.page(sync_state, Act.LOOK)]
    if gate.access.possible(Act.ADMINISTER):
        handlers = DownloadHandlers(Download(models.downloads, models.choose_again))
        for method in (handlers.download_size, handlers.download_models, handlers.download_state):
            gate.publish(method, Act.ADMINISTER)
            calls.append(gate.page(method, Act.ADMINISTER))
    return view("header/header", header_value(models.status), elem_id="header", functions=calls)


def health_route(models: ModelHost, store: AnnotationStore) -> APIRoute:
    """``/healthz`` for monitoring: it needs no sign-in and reveals nothing about anybody."""

    def healthz() -> JSONResponse:
        try:
            tasks = store.statistics().tasks
        except StoreError as error:
            return JSONResponse({"status": "failed", "store": str(error)}, status_code=503)
        return JSONResponse({"status": "ok", "models": models.status.state, "tasks": tasks})

    return APIRoute("/healthz", healthz, include_in_schema=False)


def launch_options(settings: Settings = Settings()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The arguments of ``launch()`` for access control and appearance."""
    return {
        "auth": sign_in(People(settings.auth), AuditLog(settings.home)) if settings.auth is not None else None,
        "auth_message": SIGN_IN,
        "max_file_size": None if settings.alone else MAX_UPLOAD,
        "theme": build_theme(),
        "css_paths": list(STYLES),
        "footer_links": ["api"],
        "ssr_mode": False,
        "run_history": False,
        "enable_monitoring": False,
        # At launch gradio requests its own page, which can take longer than its limit of 3 s on a busy machine; it
        # would then give up.
        "_frontend": False,
    }
