"""The data port: its routes, and which protocol each of them speaks.

There are no routes to load or unload anything. Questions about the server are answered from prepared bytes,
so they wait for nothing but their turn on the event loop.
"""

from collections.abc import Callable, Mapping
from functools import partial

import orjson

from predictors.errors import InputError, NotReadyError, OverloadError
from predictors.server.answer import Call
from predictors.server.configuration import EXTENSIONS, Configuration
from predictors.server.connection import Exchange
from predictors.server.core import Predictor
from predictors.server.door import Door, Tenant
from predictors.server.head import Head, HttpError
from predictors.server.prediction import Prediction
from predictors.server.responder import Responder
from predictors.server.v1 import V1
from predictors.server.v2 import V2

__all__ = ["Answer", "FrontEnd", "answer_of"]

_JSON = "application/json"
_IMAGES = frozenset({"image/jpeg", "image/png", "image/webp", "application/octet-stream"})
_V2_KINDS = frozenset({"", _JSON, "application/octet-stream"})

Answer = Callable[[Exchange], None]


def answer_of(routes: Mapping[str, Mapping[str, Answer]], method: str, path: str) -> Answer:
    """Find what answers a request.

    Raises:
        HttpError: There is no such route (404), or it takes other methods (405).
    """
    methods = routes.get(path)
    if methods is None:
        is_model = path.startswith(("/v1/models/", "/v2/models/"))
        if is_model:
            raise HttpError(404, "unknown_model", "no such model, version or action is served here")
        raise HttpError(404, "unknown_route", "there is no such route")
    answer = methods.get(method)
    if answer is None:
        allowed = ", ".join(sorted(methods))
        raise HttpError(405, "method", f"this route takes {allowed}", (("allow", allowed),))
    return answer


class FrontEnd:
    """Answers the requests of the data port, and with a door lets in those that have a key."""

    def __init__(self, predictor: Predictor, responder: Responder, door: Door | None = None) -> None:
        self._predictor = predictor
        self._responder = responder
        model = predictor.model
        base = f"/v2/models/{model.name}"
        readiness = (f"{base}/ready", f"{base}/versions/{model.version}/ready")
        self._open = frozenset(("/v2/health/live", "/v2/health/ready", *readiness))
        self.enter = None if door is None else partial(self._enter, door)
        self._v1 = V1(model, predictor.images)
        self._v2 = V2(model, predictor.images)
        self._routes = self._make_routes()

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        head = exchange.head
        try:
            answer = head.answer or answer_of(self._routes, head.method, head.path.replace("%3A", ":"))
            answer(exchange)
        except HttpError as error:
            self._responder.fail(exchange, "http", error)

    def _enter(self, door: Door, head: Head) -> Tenant | None:
        """Let a request in; what probes ask needs no key, as long as it brings no body.

        Raises:
            HttpError: It has no key that is known, or its tenant has used its share.
        """
        if head.path in self._open and head.method in ("GET", "HEAD") and not (head.length or head.is_chunked):
            return None
        return door.enter(head.headers.get("authorization"))

    def _make_routes(self) -> Mapping[str, Mapping[str, Answer]]:
        model = self._predictor.model
        name = model.name
        listed = orjson.dumps({"models": [name]})
        server = orjson.dumps({"name": "podium", "version": "2", "extensions": EXTENSIONS})
        ready = partial(self._tell_readiness, yes=b'{"ready":true}', no=b'{"ready":false}')
        model_ready = partial(
            self._tell_readiness,
            yes=orjson.dumps({"name": name, "ready": True}),
            no=orjson.dumps({"name": name, "ready": False}),
        )
        get: dict[str, Answer] = {
            "/v2": partial(self._tell, body=server),
            "/v2/health/live": self._tell_liveness,
            "/v2/health/ready": ready,
            "/v2/models": partial(self._tell, body=listed),
            "/v1/models": partial(self._tell, body=listed),
            f"/v1/models/{name}": model_ready,
        }
        configuration = Configuration.of(model, delay_s=self._predictor.settings.max_delay_s)
        configured = partial(self._tell, body=orjson.dumps(configuration.document()))
        post: dict[str, Answer] = {
            f"/v1/models/{name}:predict": self._predict,
            f"/v1/models/{name}:explain": self._explain,
        }
        for base in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{model.version}"):
            get[base] = partial(self._tell, body=self._v2.metadata())
            get[f"{base}/config"] = configured
            get[f"{base}/ready"] = model_ready
            post[f"{base}/infer"] = self._infer
        routes: dict[str, Mapping[str, Answer]] = {
            path: {"GET": answer, "HEAD": answer} for path, answer in get.items()
        }
        return routes | {path: {"POST": answer} for path, answer in post.items()}

    def _tell(self, exchange: Exchange, *, body: bytes) -> None:
        self._responder.say(exchange, 200, body)

    def _tell_liveness(self, exchange: Exchange) -> None:
        is_live = self._predictor.is_live
        self._responder.say(exchange, 200 if is_live else 503, b'{"live":true}' if is_live else b'{"live":false}')

    def _tell_readiness(self, exchange: Exchange, *, yes: bytes, no: bytes) -> None:
        is_ready = self._predictor.is_ready
        self._responder.say(exchange, 200 if is_ready else 503, yes if is_ready else no)

    def _predict(self, exchange: Exchange) -> None:
        if self._predictor.model.is_bare:
            raise HttpError(501, "not_implemented", "a model without a manifest is asked over V2 only")
        kind = _media_type(exchange)
        if kind == _JSON:
            self._compute(exchange, "v1-json", self._v1.json)
        elif kind in _IMAGES:
            self._compute(exchange, "v1-image", self._v1.image)
        else:
            raise HttpError(415, "media_type", "the body must be JSON, or an image as JPEG, PNG or WebP")

    def _explain(self, exchange: Exchange) -> None:
        del exchange
        raise HttpError(501, "not_implemented", "this model explains nothing; ask for :predict")

    def _infer(self, exchange: Exchange) -> None:
        if _media_type(exchange) not in _V2_KINDS:
            raise HttpError(415, "media_type", "the body must be JSON, or JSON with binary tensors behind it")
        json_bytes = exchange.head.headers.get("inference-header-content-length")
        understand = partial(self._v2.understand, json_bytes=json_bytes)
        protocol = "v2-json" if json_bytes is None else "v2-binary"
        # What the head says of a request is worked out once; the next with the same head begins here.
        exchange.head.answer = answer = partial(self._compute, protocol=protocol, understand=understand)
        answer(exchange)

    def _compute(self, exchange: Exchange, protocol: str, understand: Callable[[bytes], Call]) -> None:
        try:
            Prediction(self._predictor, self._responder, exchange, protocol).begin(understand)
        except (HttpError, InputError, NotReadyError, OverloadError) as error:
            self._responder.fail(exchange, protocol, error)


def _media_type(exchange: Exchange) -> str:
    """Give the content type in lower case, its parameters taken off.

    Raises:
        HttpError: It names another character set than UTF-8.
    """
    kind, _, parameters = exchange.head.headers.get("content-type", "").lower().partition(";")
    if "charset" in parameters and "utf-8" not in parameters:
        raise HttpError(415, "media_type", "text must be UTF-8")
    return kind.strip()
