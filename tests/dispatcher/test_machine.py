"""Dispatchers against a model, in random sequences; ``proof.models`` tries thousands, and longer ones."""

from __future__ import annotations

from hypothesis import settings

from tests.dispatcher.machine import DispatcherMachine

TestModel = DispatcherMachine.TestCase
TestModel.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
