"""A policy on a server with an OpenAI-compatible API: vLLM, SGLang, llama.cpp.

The protocol determines the request and how the answer is read, as for a local policy: the same text, and the picture as
a PNG of the size at which the model should see it. Every answer is streamed, so that one that is too long or no longer
needed is stopped on the server. Responses of a server are not trusted.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from threading import Event, Lock, Thread
from typing import Any, Final
from urllib.parse import urlsplit

import cv2
import httpx2
import openai
from openai.types.chat import ChatCompletionChunk

from segr1_app.domain import ImageSize, ModelError
from segr1_app.images.pictures import Picture
from segr1_app.language.protocol import Bounds, Protocol, Request, Stage, TaskKind
from segr1_app.language.protocol_files import find_protocol, native_protocol, protocol_names
from segr1_app.language.tags import with_think_tags
from segr1_app.models.frames import resize_to_frame
from segr1_app.models.policy_files import PolicyCard, read_bounds, read_card
from segr1_app.settings.hosts import check_server_url

IN_FLIGHT: Final = 32
"""Number of concurrent requests to a server: enough for a rack of GPUs to batch."""
MAX_NEW_TOKENS: Final = 512
"""Limit on a completion's tokens if the protocol sets none."""
TOKEN_CHARACTERS: Final = 32
"""Upper bound on the average number of characters per token: a longer completion exceeds the requested length."""
TIMEOUT: Final = httpx2.Timeout(300.0, connect=10.0)
"""Seconds without a byte after which a request is abandoned; generous, because a long queue delays answers."""
SILENCE: Final = 0.2
"""Seconds without a piece of an answer after which an empty one is passed on."""
RETRIES: Final = 4
"""How often a request is retried, with increasing delays, when the server is busy or unreachable."""


class _Connection:
    """The connection on which an answer arrives; any thread may end it."""

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._response: httpx2.Response | None = None

    def begin(self, response: httpx2.Response) -> None:
        with self._lock:
            self._response = response
        if self.ended:
            self.end()

    def end(self) -> None:
        """The server notices it immediately, and so does a thread that waits for the next piece."""
        with self._lock:
            self.ended, response = True, self._response
        stream = response.extensions.get("network_stream") if response is not None else None
        sock = stream.get_extra_info("socket") if stream is not None else None
        if sock is not None:
            # Closed by the server, or by the thread that has read it to its end.
            with suppress(OSError):
                sock.shutdown(SHUT_RDWR)


class ServerPolicy:
    """A policy on a server.

    Args:
        url: the server's URL, ending with the version as in ``http://host:8000/v1``.
        model: the name of the model on the server.
        protocol: how it is asked, and how its completions are read.
        key: the server's key; None for a server that needs none. It is sent only to the server.
        card: the model's card, if its folder is on this machine.
        bounds: those of its image processor, if its folder is on this machine; else the protocol's are used.
        retries: how often a request is retried when the server is busy; None for `RETRIES`.

    Raises:
        SettingsError: when the URL cannot be that of a server.
    """

    def __init__(
        self,
        url: str,
        model: str,
        protocol: Protocol,
        *,
        key: str | None = None,
        card: PolicyCard | None = None,
        bounds: Bounds | None = None,
        retries: int | None = None,
    ) -> None:
        check_server_url(url)
        self.protocol = protocol
        self.reading = card.reading if card else None
        self.card = card
        self._url, self._model, self._key, self._bounds = url, model, key, bounds
        # An empty key would make the client look for one of OpenAI's in the environment.
        self._client = openai.OpenAI(
            base_url=url,
            api_key=key or "none",
            timeout=TIMEOUT,
            max_retries=RETRIES if retries is None else retries,
        )

    @classmethod
    def find(cls, url: str, model: str, *, protocol: str = "auto", key: str | None = None) -> ServerPolicy:
        """The policy with a given name on a server; no request is sent yet.

        Args:
            url, key: as for the class.
            model: its name on the server; if that is also a local folder, its card and processor settings are used.
            protocol: the name or file of a protocol, or "auto" for that of the card or of the model's name.

        Raises:
            SettingsError: when the URL cannot be that of a server, or there is no such protocol.
            ModelError: when the card cannot be read.
        """
        folder = Path(model)
        card = read_card(folder) if folder.is_dir() else None
        if protocol != "auto":
            spoken = find_protocol(protocol)
        else:
            spoken = native_protocol(_model_type(model), model, card.protocol_in(folder) if card else None)
        return cls(url, model, spoken, key=key, card=card, bounds=read_bounds(folder) if folder.is_dir() else None)

    @property
    def model_id(self) -> str:
        return self._model

    @property
    def device(self) -> str:
        """Where it runs, for display on the page."""
        return urlsplit(self._url).netloc

    @property
    def frame_bounds(self) -> Bounds:
        """The bounds that the model's image processor sets, if known here."""
        return self._bounds or Bounds(self.protocol.grid, 1, 2**62)

    @property
    def max_new_tokens(self) -> int:
        """Tokens after which a completion is cut off if the protocol sets no limit."""
        return MAX_NEW_TOKENS

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._url

    def request(
        self, image_wh: ImageSize, instruction: str, task: TaskKind = TaskKind.FREE, stage: Stage = Stage.INFERENCE
    ) -> Request:
        """The request to the policy about a picture of this size; it also reads the completion.

        Raises:
            SegR1Error: when the instruction is empty or too long.
        """
        return self.protocol.request(image_wh, instruction, task, stage, bounds=self._bounds, reading=self.reading)

    def frame(self, image_wh: ImageSize) -> ImageSize:
        """The size at which the policy sees a picture of size ``image_wh`` in a free request."""
        return self.request(image_wh, "-").frame

    def stream(self, picture: Picture, instruction: str, task: TaskKind = TaskKind.FREE) -> Generator[str, None, None]:
        """Yield the greedy completion as it arrives; closing the iterator stops the generation on the server.

        While the server is silent, as when its queue is long, empty strings are yielded, so that a caller can stop.

        Raises:
            ModelError: when the server cannot be reached or its answer is invalid.
        """
        request = self.request(picture.size, instruction, task)
        with closing(self._arriving(picture, request)) as pieces:
            yield from (piece for _, piece in pieces)

    def complete(self, asked: Sequence[tuple[Picture, str]]) -> list[str]:
        """The greedy completions for pictures and their instructions, with up to `IN_FLIGHT` concurrent requests.

        Raises:
            ModelError: as `stream`.
        """
        with ThreadPoolExecutor(min(IN_FLIGHT, len(asked)) or 1, "ask") as pool:
            return list(pool.map(lambda pair: "".join(self.stream(*pair)), asked))

    def sample(
        self,
        picture: Picture,
        instruction: str,
        n: int,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        task: TaskKind = TaskKind.FREE,
        stage: Stage = Stage.INFERENCE,
        stopped: Event | None = None,
    ) -> list[str]:
        """Sample ``n`` completions in one request; arguments as for `VlmPolicy.sample`.

        Raises:
            ModelError: as `stream`.
        """
        if n < 1:
            raise ValueError(f"sample() needs n >= 1, not {n}")
        texts: dict[int, list[str]] = defaultdict(list)
        request = self.request(picture.size, instruction, task, stage)
        with closing(self._arriving(picture, request, n=n, temperature=temperature, seed=seed)) as pieces:
            for choice, piece in pieces:
                if stopped is not None and stopped.is_set():
                    break
                texts[choice].append(piece)
        return ["".join(texts[choice]) for choice in range(n)]

    def _arriving(self, picture: Picture, request: Request, **sampling: Any) -> Generator[tuple[int, str], None, None]:
        """`_pieces`, read by a thread; empty ones while the server is silent. Closing the iterator ends the request."""
        arrived: SimpleQueue[tuple[int, str] | ModelError | None] = SimpleQueue()
        connection = _Connection()

        def read() -> None:
            try:
                for piece in self._pieces(picture, request, connection, **sampling):
                    arrived.put(piece)
                arrived.put(None)
            except ModelError as error:
                arrived.put(error)

        # A daemon: a server that never answers must not keep the program from ending.
        Thread(target=read, name="policy-read", daemon=True).start()
        try:
            while True:
                try:
                    part = arrived.get(timeout=SILENCE)
                except Empty:
                    part = (0, "")
                if part is None:
                    return
                if isinstance(part, ModelError):
                    raise part
                yield part
        finally:
            connection.end()

    def _pieces(
        self,
        picture: Picture,
        request: Request,
        connection: _Connection,
        *,
        n: int = 1,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[tuple[int, str]]:
        """Yield (choice, text) as they arrive, until the connection is ended; raises if a completion stays
        incomplete.
        """
        most = (request.max_new_tokens or self.max_new_tokens) * TOKEN_CHARACTERS
        lengths, ended, thinking = [0] * n, [False] * n, [False] * n
        with self._failures_in_words():
            answer = self._client.chat.completions.create(
                model=self._model,
                messages=_messages(picture, request),
                stream=True,
                n=n,
                seed=seed,
                max_tokens=request.max_new_tokens or self.max_new_tokens,
                **_sampling(temperature),
            )
            connection.begin(answer.response)
            try:
                if not answer.response.headers.get("content-type", "").startswith("text/event-stream"):
                    raise self._nonsense()
                for chunk in answer:
                    if connection.ended:
                        return
                    for choice, thought, answered, last in self._checked(chunk, n):
                        piece, thinking[choice] = with_think_tags(thought, answered, thinking[choice])
                        lengths[choice] += len(piece)
                        ended[choice] = ended[choice] or last
                        if lengths[choice] > most:
                            raise ModelError(
                                f"The policy server at {self._url} returned more than was requested: the completion "
                                f"is longer than {most} characters."
                            )
                        if piece:
                            yield choice, piece
            finally:
                # However reading ended, the server need not continue.
                answer.close()
        if not all(ended):
            raise ModelError(f"The policy server at {self._url} stopped in the middle of its answer: ask again.")

    def _checked(self, chunk: Any, n: int) -> Iterator[tuple[int, str, str, bool]]:
        """(choice, separate reasoning, text, whether it is the last) of a valid chunk."""
        if not isinstance(chunk, ChatCompletionChunk):
            raise self._nonsense()
        if chunk.model and not _same_model(chunk.model, self._model):
            raise ModelError(
                f"The policy server at {self._url} answers with the model '{chunk.model[:100]}', not with "
                f"'{self._model}': name the one that it serves with --policy."
            )
        for choice in chunk.choices or ():
            piece = choice.delta.content if choice.delta else None
            # The two names that servers use; neither is part of OpenAI's API.
            thoughts = [getattr(choice.delta, name, None) for name in ("reasoning_content", "reasoning")]
            texts = all(isinstance(each, str | None) for each in (piece, *thoughts))
            if not (isinstance(choice.index, int) and 0 <= choice.index < n and texts):
                raise self._nonsense()
            if choice.finish_reason == "content_filter":
                raise ModelError(f"The policy server at {self._url} refuses to answer because of its content filter.")
            yield choice.index, thoughts[0] or thoughts[1] or "", piece or "", choice.finish_reason is not None

    def _nonsense(self) -> ModelError:
        return ModelError(
            f"The server at {self._url} is not a policy server: give --policy-server the address of an "
            "OpenAI-compatible one, which usually ends in /v1."
        )

    @contextmanager
    def _failures_in_words(self) -> Iterator[None]:
        """Turn every server failure into a ModelError with a one-sentence message; none of them contains the key."""
        try:
            yield
        except openai.APITimeoutError as error:
            raise ModelError(f"The policy server at {self._url} does not answer in time: is it overloaded?") from error
        except openai.APIStatusError as error:
            raise ModelError(self._refusal(error)) from error
        except (openai.APIConnectionError, httpx2.HTTPError, OSError) as error:
            raise ModelError(
                f"The policy server at {self._url} cannot be reached or closed the connection: is it running, and is "
                "--policy-server right?"
            ) from error
        except openai.APIError as error:
            if not isinstance(error.body, dict):
                raise self._nonsense() from error
            said = self._server_words(error)
            raise ModelError(f"The policy server at {self._url} failed while it answered{said}") from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError, KeyError) as error:
            # The client passes on whatever its parsers raise on invalid responses.
            raise self._nonsense() from error

    def _server_words(self, error: openai.APIError) -> str:
        """A server's reason for a failure, as the end of a sentence: shortened, on one line, without the key."""
        body = error.body if isinstance(error.body, dict) else {}
        inner = body.get("error") if isinstance(body.get("error"), dict) else body
        said = inner.get("message") if isinstance(inner, dict) else None
        if not isinstance(said, str):
            return "."
        if self._key:
            said = said.replace(self._key, "...")
        words = " ".join("".join(islice((c if c.isprintable() else " " for c in said), 300)).split())
        return f": {words}" if words else "."

    def _refusal(self, error: openai.APIStatusError) -> str:
        said = self._server_words(error)
        if error.status_code in (401, 403):
            return f"The policy server at {self._url} requires a valid key: set SEGR1_POLICY_KEY."
        if error.status_code in (404, 405):
            # A server that knows the address says something about the model.
            if "model" not in said.lower():
                return str(self._nonsense())
            return f"The policy server at {self._url} has no model '{self._model}'{said}"
        if any(words in said.lower() for words in _TOO_LONG):
            return (
                f"Picture and answer do not fit into the context of '{self._model}' at {self._url}: start the server "
                f"with a longer one, as with vLLM's --max-model-len{said}"
            )
        if "image" in said.lower() or "multimodal" in said.lower():
            return f"The model '{self._model}' at {self._url} takes no pictures: serve a multimodal one{said}"
        return f"The policy server at {self._url} refuses the request (HTTP {error.status_code}){said}"


_TOO_LONG: Final = ("context length", "context size", "max_model_len", "maximum model length", "max_tokens", "too long")
"""Words with which servers refuse a request that is longer than they can take."""


def _messages(picture: Picture, request: Request) -> Any:
    """The request's messages, including the picture, in the client's format."""
    pixels = cv2.cvtColor(resize_to_frame(picture.pixels, request.frame), cv2.COLOR_RGB2BGR)
    encoded, content = cv2.imencode(".png", pixels)
    if not encoded:
        raise ModelError("The picture cannot be encoded for the policy server.")
    url = f"data:image/png;base64,{base64.b64encode(content.tobytes()).decode('ascii')}"
    image = {"type": "image_url", "image_url": {"url": url}}
    return [
        {**message, "content": [image if part["type"] == "image" else part for part in message["content"]]}
        for message in request.messages
    ]


def _sampling(temperature: float) -> dict[str, Any]:
    """Sampling parameters as in `VlmPolicy`: greedy by the model's generation config, else from the whole
    distribution.
    """
    if temperature == 0:
        return {"temperature": 0.0}
    return {"temperature": temperature, "top_p": 1.0, "extra_body": {"top_k": -1, "repetition_penalty": 1.0}}


def _same_model(said: str, asked: str) -> bool:
    """Whether two names can refer to the same model; some servers report only the last part."""
    said, asked = (name.replace("\\", "/").rstrip("/").lower() for name in (said, asked))
    return said == asked or said.rpartition("/")[2] == asked.rpartition("/")[2]


def _model_type(model: str) -> str:
    """The ``model_type`` of a stock model, derived from its name; empty if unknown."""
    name = "".join(letter if letter.isalnum() else "_" for letter in model.lower())
    known = (kind for each in protocol_names() for kind in find_protocol(each).model_types)
    return next((kind for kind in sorted(known, key=len, reverse=True) if kind in name), "")
