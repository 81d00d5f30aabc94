from __future__ import annotations

import pytest

from jobgate.proxy.errors import BadRequest, ProxyError, Reason


def test_reasons_are_told_apart_by_their_values() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_token_is_the_word_of_the_log_and_of_heads(reason: Reason) -> None:
    assert reason.token == ("method" if reason is Reason.METHOD_UNKNOWN else reason.value)
    assert reason.token.replace("-", "").isalpha()


def test_error_says_reason_and_detail() -> None:
    error = ProxyError(Reason.RATE, "Slow down.", retry_after_s=2.0)
    assert str(error) == "rate: Slow down."
    assert (error.reason, error.detail, error.retry_after_s) == (Reason.RATE, "Slow down.", 2.0)
    assert str(ProxyError(Reason.IDLE)) == "idle"


def test_bad_request_is_a_proxy_error() -> None:
    assert BadRequest("No.").reason is Reason.BAD_REQUEST
