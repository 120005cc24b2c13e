"""Schemas of payloads: valid, open, and true of every documented sample."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import orjson
import pytest

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST
from subscriber.platforms.schemas import arriving, mindsphere
from subscriber.settings import DEFAULT_TOPICS

SAMPLES = sorted((Path(__file__).parent.parent / "samples" / "mindsphere").glob("*.json"))
ALL = arriving([MINDSPHERE, CUMULOCITY, SMARTREST, PELION], DEFAULT_TOPICS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_as_the_schema_of_its_topic_says(path: Path) -> None:
    sample = orjson.loads(path.read_bytes())
    schema = mindsphere(sample["header"]["topic"])
    jsonschema.validate(sample, schema)
    (member,) = sample.keys() - {"header"}
    assert member in schema["required"]
    del sample["header"]  # the reading that puts it into headers
    jsonschema.validate(sample, schema)


@pytest.mark.parametrize("about", ALL, ids=" ".join)
def test_every_schema_is_one_and_takes_members_nobody_has_published_yet(about: tuple[str, str]) -> None:
    jsonschema.Draft202012Validator.check_schema(ALL[about])
    assert '"additionalProperties":false' not in orjson.dumps(ALL[about]).decode()


def test_topics_are_those_that_are_asked_for() -> None:
    assert set(arriving([MINDSPHERE], ("mdsp.core.other.v1.pubsub.x",))) == {
        (MINDSPHERE, "mdsp.core.other.v1.pubsub.x")
    }
    assert {platform for platform, _ in arriving([PELION], DEFAULT_TOPICS)} == {PELION}
