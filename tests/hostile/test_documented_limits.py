"""The limits that SECURITY.md and docs/reliability.md name are those of the code."""

from __future__ import annotations

import pytest
from PIL import PngImagePlugin

from segr1_app.images import pictures
from segr1_app.models import chat_templates, segmenter
from segr1_app.people import sign_in
from segr1_app.store import queue, rows
from segr1_app.store.exchange.readers import arrow_rows
from segr1_app.studio import cache_folder, edits, painting, previews, sessions
from segr1_app.ui import page
from segr1_app.ui.gate import arguments, endpoints, front, guarded, streams, unread, uploads
from tests.e2e.serving import ROOT

KIB, MIB, GIB = 2**10, 2**20, 2**30
MEGA = 10**6
WORDS = {2: "two", 10: "ten"}

SECURITY = [
    f"After {sign_in.GUESSES} consecutive wrong passwords for a name from one address ({sign_in.GUESSES_ANYWHERE} from",
    f"blocked for {sign_in.PAUSE / 60:.0f}, 2, 4 … {sign_in.LONGEST_PAUSE / 60:.0f} minutes",
    f"{WORDS[sign_in.AT_A_TIME]} passwords are checked at a time, the newest first, and at most {sign_in.WAITING} wait",
    f"nothing is read except a sign-in form of at most {front.MAX_LOGIN // KIB} KiB",
    f"a separate process with {arrow_rows.MOST_BYTES // GIB} GiB and {arrow_rows.MOST_SECONDS} s",
    f"in a process with {chat_templates.TRIAL_BYTES // MIB} MiB and {chat_templates.TRIAL_SECONDS} s",
    f"{front.MAX_JSON // MIB} MiB of JSON; {front.MAX_LOGIN // KIB} KiB for sign-in; "
    f"{front.BODY_SECONDS:.0f} s to arrive",
    f"{front.MAX_JSON_AT_ONCE // MIB} MiB of JSON in flight in all",
    f"{page.CALLS_PER_SECOND:.0f} a second, {page.CALLS_AT_ONCE:.0f} at once; running the policy counts as "
    f"{endpoints.RUN_COST:.0f} ",
    f"{guarded.READS_PER_SECOND:.0f} a second, {guarded.READS_AT_ONCE:,.0f} at once, from one address",
    f"{edits.MAX_ROWS / MEGA:.0f} million crossed rows per call, charged as one call per {edits.PAINT_PER_CALL:,}; "
    f"{WORDS[painting.AT_A_TIME]} are drawn at a time",
    f"{pictures.MAX_PIXELS // MEGA} megapixels; those of uploads are charged as one call per megapixel; "
    f"{pictures.PIXELS_AT_ONCE // MEGA} megapixels are decoded at a time",
    f"in a PNG file may have {PngImagePlugin.MAX_TEXT_CHUNK // MIB} MiB each, "
    f"{PngImagePlugin.MAX_TEXT_MEMORY // MIB} MiB in total",
    f"{page.MAX_UPLOAD.removesuffix('mb')} MB per file, {uploads.PER_PERSON // GIB} GiB per person and hour, "
    f"{cache_folder.MAX_BYTES // GIB} GiB in total, {uploads.SPARE // GIB} GiB of disk space stays free",
    f"{cache_folder.UPLOAD_SECONDS / 3600:.0f} hours after their last use "
    f"({cache_folder.SPARED_SECONDS / 60:.0f} minutes after an import), {cache_folder.KEPT_SECONDS / 3600:.0f} hours",
    f"{page.MAX_WAITING} in the queue",
    f"{unread.UNREAD_SECONDS:.0f} s, {unread.UNREAD_BYTES // MIB} MiB as JSON in total",
    f"a third of the file descriptors beyond {streams.RESERVED}, at most {streams.MOST}",
    f"| connections without a request | {streams.IDLE_SECONDS:.0f} s;",
    f"{sessions.MEMORY // MIB} MiB on canvases, {previews.MEMORY // MIB} MiB of recent tasks",
    f"{sign_in.REMEMBERED:,}, {sign_in.SESSION_SECONDS / 86_400:.0f} days each",
    f"{arguments.MAX_DEPTH} levels; numbers up to 2^{arguments.MAX_NUMBER.bit_length() - 1}; texts of "
    f"{arguments.MAX_TEXT:,} characters",
]
RELIABILITY = [
    f"held by one person** for {WORDS[queue.LONGEST / 60]} minutes at a time",
    f"on canvases ({sessions.MEMORY // MIB} MiB), recent pictures ({previews.MEMORY // MIB} MiB), decoded masks "
    f"({rows.RECENT_MASKS // MIB} MiB), embeddings ({segmenter.CACHE_BYTES // MIB} MiB, at most "
    f"{segmenter.CACHE_WINDOWS} of them",
    f"results that wait for their client ({unread.UNREAD_BYTES // MIB} MiB)",
    f"decoding takes at most {pictures.PIXELS_AT_ONCE // MEGA} megapixels at a time, {WORDS[previews.AT_A_TIME]} "
    f"previews are made and {WORDS[painting.AT_A_TIME]} people's strokes",
]


@pytest.mark.parametrize(("page_name", "limits"), [("SECURITY.md", SECURITY), ("docs/reliability.md", RELIABILITY)])
def test_documented_limits_are_those_of_the_code(page_name: str, limits: list[str]) -> None:
    text = " ".join((ROOT / page_name).read_text(encoding="utf-8").split())
    assert [limit for limit in limits if limit not in text] == []


def test_uploads_are_charged_as_documented() -> None:
    from segr1_app.ui.handlers import run

    assert run.PIXELS_PER_CALL == MEGA
