"""Keep nothing of a visit on the server.

Gradio copies the configuration of all components for every visit, and puts into it every value that the visit sends or
receives. Whoever invents ids of visits could thus fill the memory: with 140 KB each, and with up to the largest body of
a request for every component. This page has no component whose state belongs to a visit, so all visits share one
configuration that does not change.
"""

from __future__ import annotations

from typing import Any

from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder


class _Unchanging(SessionState):
    """The state of every visit: the page as it was built.

    For ``gr.update`` gradio makes the updated component, sets it and reads it back at once, without a pause in which
    another visit's call could come; what it reads decides what is sent. It is kept for that one reading.
    """

    _updated: tuple[int, Any] | None = None

    def __setitem__(self, key: int, value: Any) -> None:
        self._updated = (key, value)

    def __getitem__(self, key: int) -> Any:
        updated, self._updated = self._updated, None
        return updated[1] if updated is not None and updated[0] == key else super().__getitem__(key)

    def _update_config(self, key: int) -> None: ...

    def _update_value_in_config(self, key: int, value: Any) -> None: ...


class NoVisits(StateHolder):
    """Stands in for gradio's states of visits.

    Args:
        page: a page without ``gr.State``.

    Raises:
        TypeError: for a page that has one.
    """

    def __init__(self, page: Blocks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if any(block.stateful for block in page.blocks.values()):
            raise TypeError("a gr.State would be shared by all visits: keep the state in the page or in the store")
        self._state = _Unchanging(page)
        self.set_blocks(page)

    def __getitem__(self, session_id: str) -> SessionState:
        return self._state
