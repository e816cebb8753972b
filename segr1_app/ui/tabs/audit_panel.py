"""The audit log panel of the Annotate tab, for admins."""

from __future__ import annotations

from datetime import UTC, datetime

import gradio as gr

from segr1_app.people.audit import AuditLog
from segr1_app.settings.roles import Act
from segr1_app.ui.gate.endpoints import Gate, refusing

COLUMNS = ["Time (UTC)", "Event", "Who", "From", "What"]


def build_audit_panel(audit: AuditLog, gate: Gate, *, visible: bool) -> gr.Accordion:
    """Build the panel in the current ``gr.Blocks`` and wire its event."""
    with gr.Accordion("Audit log", open=False, elem_id="audit", visible=visible) as panel:
        show = gr.Button("Show the newest events", elem_id="audit-button")
        table = gr.Dataframe(headers=COLUMNS, datatype="str", interactive=False, wrap=True, elem_id="audit-table")

    def audit_log(request: gr.Request, profile: gr.OAuthProfile | None) -> list[list[str]]:
        """The latest sign-ins, refusals, imports, exports and training runs: time, event, person, address, and
        details.
        """
        with refusing():
            gate.admit(Act.ADMINISTER, request, profile)
        return [
            [
                datetime.fromtimestamp(each["time"], UTC).isoformat(sep=" ", timespec="seconds"),
                *(str(each.get(name, "")) for name in ("event", "person", "address", "detail")),
            ]
            for each in audit.newest()
        ]

    show.click(audit_log, None, table, api_name="audit_log")
    accordion: gr.Accordion = panel
    return accordion
