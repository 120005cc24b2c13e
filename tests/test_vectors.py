"""The JSON Web Signature and Key vectors of project Wycheproof, through our key admission and our verifier.

Each vector is a key, or a key set, and a token. A token that is not a claim set passes when its signature does: the
claims are another stage. The vectors cover all of JOSE, we speak RS256 only, so some valid ones are refused; every
such difference is listed with its reason, and the lists must be exact.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from subscriber.errors import InvalidToken, KeysUnavailable
from subscriber.keys import admit_keys
from subscriber.tokens import read_token, verified_payload
from tests.signing import Json, key_set

FOLDER = Path(__file__).parent.parent.parent / "shared" / "vectors" / "wycheproof"

SYMMETRIC = "symmetric keys are refused: whoever can verify could also sign"
OTHER_ALGORITHM = "RS256 is pinned: the platform signs with nothing else"

# Vectors that are valid and that we refuse, by reason. No vector is accepted that is not valid.
SIGNATURE_DIFFERENCES = {
    SYMMETRIC: {
        *{1, 348, 352},  # HS256
        *{357, 358, 359, 376, 377},  # HS256, edge cases of the code and white space in the header
        *{372, 373},  # called valid, but a question mark stands in the base64url: we would refuse these anyway
    },
    OTHER_ALGORITHM: {
        *{18, 378},  # ES256
        *{264, 265, 266, 267},  # RS384
        *{268, 269, 270, 271},  # RS512
        *{272, 273, 274, 275, 287, 288},  # PS256
        *{320, 321, 322, 323},  # PS384
        *{325, 326, 327, 328},  # PS512
        *{346, 350},  # PS384 with a key for PS256
        *{347, 351},  # ES512 with a key for "ES521"
    },
}
KEY_DIFFERENCES = {
    SYMMETRIC: {2, 13, 14, 15},
}
SIGNATURE_VECTORS, KEY_VECTORS = 401, 26  # as many as the files say they hold


class Vector(NamedTuple):
    id: int
    keys: list[Json]
    token: str
    valid: bool


def vectors(name: str) -> list[Vector]:
    path = FOLDER / name
    if not FOLDER.exists():
        pytest.skip(f"the vectors are not here: {FOLDER}")
    found = []
    for group in json.loads(path.read_text())["testGroups"]:
        material = group.get("public") or group["private"]  # symmetric keys have no public half
        keys = material.get("keys", [material])
        found += [Vector(test["tcId"], keys, test["jws"], test["result"] == "valid") for test in group["tests"]]
    return found


def accepted(vector: Vector) -> bool:
    """Does the token pass with these keys? Only the two errors of the contract may say no."""
    try:
        keys = admit_keys(key_set(*vector.keys))
        unverified = read_token(vector.token)
        if unverified.kid not in keys:
            return False
        verified_payload(unverified, keys[unverified.kid])
    except (InvalidToken, KeysUnavailable):
        return False
    return True


def differences(found: list[Vector]) -> dict[int, str]:
    """The vectors whose result is not the expected one."""
    return {
        vector.id: f"expected {'valid' if vector.valid else 'invalid'}"
        for vector in found
        if accepted(vector) != vector.valid
    }


def listed(table: dict[str, set[int]]) -> dict[int, str]:
    return {number: "expected valid" for numbers in table.values() for number in numbers}


def test_every_signature_vector_gives_the_expected_result_or_a_listed_difference() -> None:
    found = vectors("json_web_signature_test.json")
    assert len(found) == SIGNATURE_VECTORS
    assert differences(found) == listed(SIGNATURE_DIFFERENCES)


def test_every_key_vector_gives_the_expected_result_or_a_listed_difference() -> None:
    found = vectors("json_web_key_test.json")
    assert len(found) == KEY_VECTORS
    assert differences(found) == listed(KEY_DIFFERENCES)


def test_the_valid_rs256_vectors_are_accepted() -> None:
    """A verifier that refuses everything would pass most of the files."""
    found = vectors("json_web_signature_test.json")
    assert {vector.id for vector in found if accepted(vector)} == {33, *range(259, 264), 345, 349}
    assert {vector.id for vector in vectors("json_web_key_test.json") if accepted(vector)} == {5}


@pytest.mark.parametrize("name", ["json_web_signature_test.json", "json_web_key_test.json"])
def test_no_private_half_of_a_vector_s_key_is_admitted(name: str) -> None:
    vectors(name)
    for group in json.loads((FOLDER / name).read_text())["testGroups"]:
        keys = group["private"].get("keys", [group["private"]])
        with pytest.raises(KeysUnavailable):
            admit_keys(key_set(*keys))
