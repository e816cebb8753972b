"""Validate the bodies of gradio's routes before gradio uses their values for lookups, and complete calls."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, Final, TypeVar

from gradio.block_function import BlockFunction
from gradio.blocks import Blocks
from gradio.data_classes import CancelBody, ComponentServerJSONBody, PredictBody, ResetBody, SimplePredictBody
from gradio_client.utils import construct_args
from pydantic import BaseModel, RootModel, ValidationError

from segr1_app.ui.gate.refusals import RefusedError

PREFIX: Final = "/gradio_api/"

Body = TypeVar("Body", bound=BaseModel)


class NamedArguments(RootModel[dict[str, Any]]):
    """Arguments by name, as in ``call/v2``."""


class Posts:
    """Checks requests posted to a page.

    Args:
        page: the page, with all its components and events.
    """

    def __init__(self, page: Blocks) -> None:
        self._page = page

    def check(self, path: str, content: bytes) -> bytes:
        """Check a body, and complete a call of an endpoint that leaves out its last arguments.

        A call lists its arguments in order. Whoever wrote a client before an endpoint got another argument at its end
        is answered as before, because every such argument has a default.

        Args:
            path: the route, below `PREFIX` and without a trailing slash.
            content: JSON.

        Returns:
            The body to pass on to gradio.

        Raises:
            RefusedError: when the body is invalid for the route, or refers to something that does not exist.
        """
        route, _, name = path.removeprefix(PREFIX).partition("/")
        if path.startswith(f"{PREFIX}call/v2/"):
            self._check_named(path.removeprefix(f"{PREFIX}call/v2/"), _read(NamedArguments, content).root)
        elif route in ("call", "run", "api"):
            call = _read(SimplePredictBody, content) if route == "call" else _read(PredictBody, content)
            number = getattr(call, "fn_index", None)
            # The page refers to its own events by number, whatever the name in the path.
            found = self._by_name(name) if number is None else self._page.fns.get(number)
            if found is None:
                raise RefusedError(404, "There is no event with this number.")
            return self._completed(found, call, content)
        elif route == "queue":
            body = _read(PredictBody, content)
            function = self._page.fns.get(-1 if body.fn_index is None else body.fn_index)
            if function is None or not body.session_hash:
                raise RefusedError(
                    422, "'fn_index' must be the number of an event, and 'session_hash' the id of a visit."
                )
            # The number of values that a component sends is internal to gradio.
        elif route == "component_server":
            asked = _read(ComponentServerJSONBody, content)
            component = self._page.blocks.get(asked.component_id)
            function = getattr(component, asked.fn_name, None)
            if not getattr(function, "_is_server_fn", False):
                raise RefusedError(404, "There is no such component on the page, or it has no such function.")
            if not isinstance(asked.data, dict):
                raise RefusedError(422, "'data' must be an object with the function's arguments.")
        else:
            _read(CancelBody if route == "cancel" else ResetBody, content)
        return content

    def _by_name(self, name: str) -> BlockFunction:
        found = [function for function in self._page.fns.values() if function.api_name == name]
        if not found:
            raise RefusedError(404, "There is no endpoint with this name.")
        return found[0]

    def _completed(self, function: BlockFunction, body: PredictBody | SimplePredictBody, content: bytes) -> bytes:
        """A call with as many arguments as its event takes; those that the page itself keeps may be omitted."""
        if function.fn is None:
            raise RefusedError(404, "This event is handled by the browser only.")
        if isinstance(body, PredictBody) and body.batched:
            raise RefusedError(422, "Batched calls are not supported.")
        known = self._endpoints.get(f"/{function.api_name}")
        if known is not None and len(body.data) < len(known):
            return json.dumps({**json.loads(content), "data": _arguments(known, tuple(body.data), {})}).encode()
        wanted = {len(function.inputs), sum(not each.skip_api for each in function.inputs)}
        if len(body.data) not in wanted and not function.cancels:
            raise RefusedError(422, f"'data' must be a list of {max(wanted)} arguments, not {len(body.data)}.")
        return content

    def _check_named(self, name: str, given: dict[str, Any]) -> None:
        self._by_name(name)
        if f"/{name}" not in self._endpoints:
            raise RefusedError(404, "There is no endpoint with this name.")
        _arguments(self._endpoints[f"/{name}"], (), given)

    @cached_property
    def _endpoints(self) -> dict[str, list[Any]]:
        """The parameters of each published endpoint, as gradio describes them, by its name after a slash."""
        known = self._page.get_api_info()["named_endpoints"]
        return {name: info["parameters"] for name, info in known.items()}


def _arguments(parameters: list[Any], listed: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """All arguments of a call in order, with defaults for those that are not given.

    Raises:
        RefusedError: when one without a default is missing, or one is unknown.
    """
    try:
        return list(construct_args(parameters, listed, dict(named)))
    except TypeError as error:
        raise RefusedError(422, f"{str(error).removesuffix('.')}.") from error


def _read(kind: type[Body], content: bytes) -> Body:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusedError(422, f"{f'{where!r}: ' if where else ''}{first['msg']}.") from error
