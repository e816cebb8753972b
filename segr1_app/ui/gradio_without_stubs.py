"""Gradio, imported without rewriting its own type stubs.

On import, gradio parses the source of each of its components, twice, to check whether the ``.pyi`` file next to it is
up to date. That only helps gradio's own developers, and takes a third of the time until the first page appears.
Importing this module imports gradio without that step.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

MODULE, STUB_WRITER = "gradio.component_meta", "create_or_modify_pyi"


class _WithoutStubs(SourceFileLoader):
    """Loads the module that writes the stubs and replaces its writer with one that does nothing."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        setattr(module, STUB_WRITER, lambda *_: None)


class _StubWriterFinder(MetaPathFinder):
    """Finds that module and leaves all others to the usual finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _WithoutStubs(fullname, spec.origin)
        return spec


_finder = _StubWriterFinder()
sys.meta_path.insert(0, _finder)
try:
    import gradio
finally:
    sys.meta_path.remove(_finder)

__all__ = ["gradio"]
