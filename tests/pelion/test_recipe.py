"""docs/pelion.md: its examples can be used, its fingerprints and settings are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from subscriber.pelion.authorities import INTERMEDIATE, ROOT, ROOT_NAME
from subscriber.platforms.pelion.callback import SECRET_HEADER
from subscriber.settings import PelionSettings, Settings, declared
from tests.emulator.running import ROOT as FOLDER

RECIPE = (FOLDER / "docs" / "pelion.md").read_text()
README = Path(FOLDER / "README.md").read_text()


def test_the_settings_of_the_examples_can_be_used() -> None:
    found = re.findall(r"^PELION_CHANNELS=(.*)$", RECIPE + README, re.MULTILINE)
    assert len(found) == 2
    for text in found:
        pelion = Settings.from_environ({"PELION_CHANNELS": text, "CELLAR_KEY": "ak_1x"}).pelion
        assert pelion is not None and pelion.channels[0].name == "cellar"


def test_the_fingerprints_are_those_that_a_check_compares() -> None:
    assert ROOT in RECIPE and INTERMEDIATE in RECIPE and ROOT_NAME in RECIPE


def test_each_setting_and_header_that_is_named_exists() -> None:
    known = {one.name for kind in (Settings, PelionSettings) for one in declared(kind).values()}
    named = set(re.findall(r"\b(?:PELION|TLS|PUBLIC)(?:_[A-Z]+)+\b", RECIPE))
    assert named <= known and SECRET_HEADER in RECIPE
