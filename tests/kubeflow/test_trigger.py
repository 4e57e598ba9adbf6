"""Intervals and crons as triggers of a schedule."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import UserError
from pipelines.kubeflow.trigger import Trigger, interval_text, parse_trigger, trigger_of

_NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("30m", 1800), ("1d12h", 129600), ("60s", 60), ("1H", 3600)]
)
def test_an_interval_is_read_and_written(text, seconds):
    trigger = parse_trigger("", text)
    assert trigger.seconds == seconds
    assert parse_trigger("", interval_text(seconds)) == trigger


@pytest.mark.parametrize("text", ["6", "6 h", "h", "59s", "0h", "1h1d", "-1h", " "])
def test_an_interval_that_cannot_be_read_is_refused(text):
    with pytest.raises(UserError, match="--every"):
        parse_trigger("", text)


@pytest.mark.parametrize(("cron", "every"), [("", ""), ("0 0 3 * * *", "6h")])
def test_one_of_both_is_needed(cron, every):
    with pytest.raises(UserError, match="one of --cron"):
        parse_trigger(cron, every)


def test_an_interval_begins_at_the_last_firing():
    times = Trigger(seconds=6 * 3600).firings(_NOON, last=_NOON - timedelta(hours=1))
    assert [time.hour for time in itertools.islice(times, 3)] == [17, 23, 5]


def test_an_interval_that_was_missed_begins_anew():
    times = Trigger(seconds=6 * 3600).firings(_NOON, last=_NOON - timedelta(days=9))
    assert next(times) == _NOON + timedelta(hours=6)


@pytest.mark.parametrize("trigger", [parse_trigger("0 0 3 * * *", ""), parse_trigger("", "6h")])
def test_a_trigger_comes_back_from_the_api(trigger):
    assert trigger_of(trigger.to_api()) == trigger
