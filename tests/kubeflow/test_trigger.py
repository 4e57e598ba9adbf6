"""Intervals and crons as triggers of a schedule."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from components.errors import UserError
from pipelines.kubeflow.trigger import Trigger, interval_text, parse_cron, parse_trigger, trigger_of

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


_LATER = "2126-11-01"


@pytest.mark.parametrize("when", [("0 0 3 * * *", ""), ("", "6h")])
@pytest.mark.parametrize("span", [("", ""), (_LATER, ""), ("", _LATER), (_LATER, "2127-01-01T12:00+02:00")])
def test_a_trigger_comes_back_from_the_api(when, span):
    trigger = parse_trigger(*when, *span)
    assert trigger_of(trigger.to_api()) == trigger


def test_a_time_that_the_server_did_not_set_is_none():
    api = parse_trigger("", "6h").to_api()
    api.periodic_schedule.end_time = datetime(1970, 1, 1, tzinfo=UTC)
    assert trigger_of(api) == parse_trigger("", "6h")


def test_it_fires_between_start_and_end_only():
    start, end = _NOON + timedelta(days=2), _NOON + timedelta(days=3, hours=6)
    cron = Trigger(cron=parse_cron("0 0 12 * * *"), start=start, end=end)
    assert list(cron.firings(_NOON, last=_NOON)) == [start + timedelta(days=1)]
    every = Trigger(seconds=6 * 3600, start=start, end=end)
    assert len(list(every.firings(_NOON, last=_NOON))) == 5
    assert "from 2026-11-26 12:00 UTC until 2026-11-27 18:00 UTC" in str(every)


@pytest.mark.parametrize("trigger", [parse_trigger("0 0 3 * * *", ""), parse_trigger("", "24h")])
def test_the_latest_missed_time_is_known(trigger):
    last = _NOON.replace(hour=3)
    assert trigger.missed(_NOON, last) is None
    assert trigger.missed(_NOON + timedelta(days=3), last) == last + timedelta(days=3)
    over = replace(trigger, end=_NOON + timedelta(days=1))
    assert over.missed(_NOON + timedelta(days=3), last) == last + timedelta(days=1)


def test_a_start_that_is_past_counts_only_to_catch_up():
    assert parse_trigger("", "6h", "2020-01-01") == parse_trigger("", "6h")
    assert parse_trigger("", "6h", "2020-01-01", catch_up=True).start == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("tomorrow", "", "--start tomorrow: write it like"),
        ("", "2126-13-01", "--end 2126-13-01: write it like"),
        ("", "2020-01-01", "--end 2020-01-01: no run would start"),
        (_LATER, "2126-11-01T01:00", "no run would start"),
    ],
)
def test_a_span_without_a_firing_is_refused(start, end, says):
    with pytest.raises(UserError, match=says):
        parse_trigger("0 0 3 * * *", "", start, end)
