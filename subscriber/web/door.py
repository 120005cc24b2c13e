"""The way in, before any framework: deliveries of the busiest platform go straight to their webhook.

Flask spends more on a request than it takes to verify, read and hand on a delivery. So what is addressed to the
webhook is answered here, and everything else, people's and applications' requests, goes on to Flask. Whichever
answers, log lines name the request, and a bug becomes the same answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http.client import responses as PHRASES
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from subscriber.web.answers import Answer, internal_answer
from subscriber.web.correlation import Answering
from subscriber.web.webhooks import Webhook

logger = logging.getLogger(__name__)


class Door:
    """A WSGI application in front of another."""

    def __init__(self, application: WSGIApplication, webhook: Webhook) -> None:
        self._application = application
        self._webhook = webhook

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with Answering(environ):
            if not self._webhook.is_at(environ["PATH_INFO"]):
                return self._application(environ, start_response)
            answer = self._answer(environ)
        if answer is None:
            return ()
        start_response(f"{answer.status} {PHRASES[answer.status]}", list(answer.headers.items()))
        return () if environ["REQUEST_METHOD"] == "HEAD" else (answer.body,)

    def _answer(self, environ: WSGIEnvironment) -> Answer | None:
        try:
            return self._webhook.answer(environ)
        except Exception as error:  # the top of a request: whoever sent it gets an answer, as Flask would give it one
            log_bug(error)
            return internal_answer()


def log_bug(error: Exception) -> None:
    """A request failed through our fault. Only the log is told how."""
    logger.error("a request failed", exc_info=error, extra={"action": "request_failed", "reason": "internal"})
