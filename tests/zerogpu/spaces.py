"""Emulates the ``spaces`` package on a ZeroGPU Space, without a GPU.

Like the package's own: a function runs in a forked process, which is kept for the next call, and ends a generator that
nobody listens to any more; what goes in and what comes out is pickled; an exception comes back as the name of its
class. And until a GPU is assigned, there seems to be one, but only for the thread that imported this module: a model
that another thread moves to "cuda" is not moved, and torch says that there is none.
"""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

_fork = multiprocessing.get_context("fork")


class _SeemingGpu(TorchFunctionMode):
    """Lets everything that asks for a GPU have the CPU; a mode of torch holds for the thread that entered it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        args, kwargs = tree_map_only(torch.device, _without_gpu, (args, kwargs or {}))
        return func(*args, **kwargs)


def _without_gpu(device: torch.device) -> torch.device:
    return torch.device("cpu") if device.type == "cuda" else device


torch.cuda.is_available = lambda: True
torch.cuda.mem_get_info = lambda _: (int(70e9), int(70e9))  # type: ignore[assignment, misc]
_SeemingGpu().__enter__()


def GPU(task: Callable[..., Iterator[Any]], *, duration: int) -> Callable[..., Iterator[Any]]:  # noqa: N802
    """Run ``task``, a generator function, in a process of its own."""
    assert duration > 0
    workers: list[tuple[Any, Any, Any]] = []

    @functools.wraps(task)
    def borrowed(*args: Any) -> Iterator[Any]:
        if not workers:
            ours, theirs = _fork.Pipe()
            stopped = _fork.Event()
            _fork.Process(target=_work, args=(task, theirs, stopped), daemon=True).start()
            workers.append((ours, stopped, threading.Lock()))
        pipe, stopped, turn = workers[0]
        with turn:
            stopped.clear()
            pipe.send_bytes(pickle.dumps(args))
            ended = False
            try:
                while True:
                    kind, value = pickle.loads(pipe.recv_bytes())
                    ended = kind != "yielded"
                    if kind == "failed":
                        raise gr.Error(value)
                    if ended:
                        return
                    yield value
            finally:
                if not ended:
                    stopped.set()
                    while pickle.loads(pipe.recv_bytes())[0] == "yielded":
                        pass

    return borrowed


def _work(task: Callable[..., Iterator[Any]], pipe: Any, stopped: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the app's own graceful end
    while True:
        args = pickle.loads(pipe.recv_bytes())
        try:
            generator = task(*args)
            for value in generator:
                if stopped.is_set():
                    generator.close()  # type: ignore[attr-defined]
                    break
                pipe.send_bytes(pickle.dumps(("yielded", value)))
            pipe.send_bytes(pickle.dumps(("ended", None)))
        except Exception as error:  # noqa: BLE001 - as the package does
            pipe.send_bytes(pickle.dumps(("failed", type(error).__name__)))
