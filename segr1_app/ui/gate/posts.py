"""The bodies that gradio's routes take, checked before gradio looks things up by what is in them."""

from __future__ import annotations

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
    """Arguments by their names, as ``call/v2`` takes them."""


class Posts:
    """Checks what is posted to a page.

    Args:
        page: the page, with all its components and events.
    """

    def __init__(self, page: Blocks) -> None:
        self._page = page
        self._parameters: dict[str, list[Any]] | None = None

    def check(self, path: str, content: bytes) -> None:
        """Raise `RefusedError` where a body is not what a route takes, or asks for what there is not.

        Args:
            path: of the route, below `PREFIX` and without a slash at its end.
            content: JSON.
        """
        route, _, name = path.removeprefix(PREFIX).partition("/")
        if path.startswith(f"{PREFIX}call/v2/"):
            self._check_named(path.removeprefix(f"{PREFIX}call/v2/"), _read(NamedArguments, content).root)
        elif route in ("call", "run", "api"):
            call = _read(SimplePredictBody, content) if route == "call" else _read(PredictBody, content)
            number = getattr(call, "fn_index", None)
            # The page names its own events by their numbers, below any name.
            found = self._by_name(name) if number is None else self._page.fns.get(number)
            if found is None:
                raise RefusedError(404, "There is no event of this number.")
            self._check_call(found, call)
        elif route == "queue":
            body = _read(PredictBody, content)
            function = self._page.fns.get(-1 if body.fn_index is None else body.fn_index)
            if function is None or not body.session_hash:
                raise RefusedError(422, "'fn_index' names an event of the page, and 'session_hash' a visit of it.")
            # How many values a component of the page sends along is between gradio's two halves.
        elif route == "component_server":
            asked = _read(ComponentServerJSONBody, content)
            component = self._page.blocks.get(asked.component_id)
            function = getattr(component, asked.fn_name, None)
            if not getattr(function, "_is_server_fn", False):
                raise RefusedError(404, "The page has no such component, or the component no such function.")
            if not isinstance(asked.data, dict):
                raise RefusedError(422, "'data' is an object with the function's arguments.")
        else:
            _read(CancelBody if route == "cancel" else ResetBody, content)

    def _by_name(self, name: str) -> BlockFunction:
        found = [function for function in self._page.fns.values() if function.api_name == name]
        if not found:
            raise RefusedError(404, "There is no endpoint of this name.")
        return found[0]

    def _check_call(self, function: BlockFunction, body: PredictBody | SimplePredictBody) -> None:
        """Whether a call has as many arguments as an event; those that a page keeps itself may be left out."""
        if function.fn is None:
            raise RefusedError(404, "This event is one of the browser alone.")
        if isinstance(body, PredictBody) and body.batched:
            raise RefusedError(422, "Calls are not taken in batches here.")
        wanted = {len(function.inputs), sum(not each.skip_api for each in function.inputs)}
        if len(body.data) not in wanted and not function.cancels:
            raise RefusedError(422, f"'data' is a list of {max(wanted)} arguments, and not of {len(body.data)}.")

    def _check_named(self, name: str, given: dict[str, Any]) -> None:
        self._by_name(name)
        if self._parameters is None:
            known = self._page.get_api_info()["named_endpoints"]
            self._parameters = {each: info["parameters"] for each, info in known.items()}
        if f"/{name}" not in self._parameters:
            raise RefusedError(404, "There is no endpoint of this name.")
        try:
            construct_args(self._parameters[f"/{name}"], (), dict(given))
        except TypeError as error:
            raise RefusedError(422, f"{str(error).removesuffix('.')}.") from error


def _read(kind: type[Body], content: bytes) -> Body:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusedError(422, f"{f'{where!r}: ' if where else ''}{first['msg']}.") from error
