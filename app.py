"""The WSGI entry point: ``gunicorn app:app`` (settings of the server: gunicorn.conf.py)."""

import os

from subscriber.services import build
from subscriber.settings import Settings
from subscriber.web import create_app

app = create_app(build(Settings.from_environ(os.environ)))
