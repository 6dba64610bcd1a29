from __future__ import annotations

from uuid import UUID

import pytest

from orchestrator.contracts.token import KeyRing

TASK = UUID(int=7)
OLD = "old:" + "ab" * 16
NEW = "new:" + "cd" * 16


def test_a_token_is_good_for_its_attempt_alone():
    keys = KeyRing.parse(OLD)
    token = keys.attempt_token(TASK, 2, "yara")

    assert keys.is_attempt_token(token, TASK, 2, worker="yara")
    assert not keys.is_attempt_token(token, TASK, 3, worker="yara")
    assert not keys.is_attempt_token(token, TASK, 2, worker="strings")
    assert not keys.is_attempt_token(token, UUID(int=8), 2, worker="yara")


def test_rotated_keys_still_verify_and_the_first_signs():
    before = KeyRing.parse(OLD).attempt_token(TASK, 1, "yara")
    rotated = KeyRing.parse(f"{NEW},{OLD}")

    assert rotated.is_attempt_token(before, TASK, 1, worker="yara")
    assert rotated.attempt_token(TASK, 1, "yara").startswith("new.")


@pytest.mark.parametrize("token", ["", ".", "old.", "old.AAAA", "é.é", "x" * 300])
def test_rubbish_is_no_token(token):
    assert not KeyRing.parse(OLD).is_attempt_token(token, TASK, 1, worker="yara")


def test_a_new_generation_ends_the_secret_before():
    keys = KeyRing.parse(OLD)

    assert keys.enrolment_secret("yara", 1) not in keys.enrolment_secrets("yara", 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no key"),
        ("abcd", "id:hex"),
        ("k1:xyz", "not hex"),
        ("k1:abcd", "at least"),
        (f"{OLD},{OLD}", "same id"),
    ],
)
def test_a_malformed_key_says_what_is_wrong_without_the_key(text, says):
    with pytest.raises(ValueError, match=says) as caught:
        KeyRing.parse(text)

    assert "ab" * 16 not in str(caught.value)


def test_a_key_ring_never_shows_its_keys():
    assert "ab" * 8 not in repr(KeyRing.parse(OLD))
