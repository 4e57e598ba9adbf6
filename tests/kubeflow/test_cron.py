"""Six-field cron: what it accepts, and when it fires."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import UserError
from pipelines.kubeflow.trigger import parse_cron

_TUESDAY = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 3 * * *", ["2026-11-25T03:00:00", "2026-11-26T03:00:00", "2026-11-27T03:00:00"]),
        ("30 */20 12 * * *", ["2026-11-24T12:40:30", "2026-11-25T12:00:30", "2026-11-25T12:20:30"]),
        ("0 5/25 13 ? * ?", ["2026-11-24T13:05:00", "2026-11-24T13:30:00", "2026-11-24T13:55:00"]),
        ("0 0 9 ? * MON-FRI", ["2026-11-25T09:00:00", "2026-11-26T09:00:00", "2026-11-27T09:00:00"]),
        ("0 0 0 * * sun", ["2026-11-29T00:00:00", "2026-12-06T00:00:00", "2026-12-13T00:00:00"]),
        ("0 0 0 31 * *", ["2026-12-31T00:00:00", "2027-01-31T00:00:00", "2027-03-31T00:00:00"]),
        ("0 0 0 29 feb *", ["2028-02-29T00:00:00"]),
        # Both day fields are restricted: one of them is enough.
        ("0 0 0 1 * mon", ["2026-11-30T00:00:00", "2026-12-01T00:00:00", "2026-12-07T00:00:00"]),
        # One begins with a star: both must fit.
        ("0 0 0 */2 * mon", ["2026-12-07T00:00:00", "2026-12-21T00:00:00", "2027-01-11T00:00:00"]),
        ("0,30 59 23 31 12 *", ["2026-12-31T23:59:00", "2026-12-31T23:59:30", "2027-12-31T23:59:00"]),
    ],
)
def test_it_fires_when_the_expression_says(text, expected):
    times = itertools.islice(parse_cron(text).after(_TUESDAY), 3)
    assert [time.isoformat() for time in times] == [f"{time}+00:00" for time in expected]


@settings(deadline=None, max_examples=30)
@given(
    fields=st.tuples(
        st.sampled_from(["0", "*/15", "10,50"]),
        st.sampled_from(["0", "*/7", "5-8", "*"]),
        st.sampled_from(["*", "3", "22/1"]),
        st.sampled_from(["*", "1,15", "?", "28-31"]),
        st.sampled_from(["*", "2", "nov-dec"]),
        st.sampled_from(["*", "?", "1-5", "sat,sun"]),
    ),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2028, 12, 31)),
)
def test_the_first_firing_is_the_first_second_that_fits(fields, start):
    start = start.replace(tzinfo=UTC)
    cron = parse_cron(" ".join(fields))
    first = next(cron.after(start))
    assert first > start
    assert _fits(cron, first)
    # An oracle that knows nothing of fields: no second before it fits, looked at one by one.
    second = max(start.replace(microsecond=0), first - timedelta(hours=2))
    while (second := second + timedelta(seconds=1)) < first:
        assert not _fits(cron, second)


def _fits(cron, time):
    in_month, in_week = time.day in cron.days, (time.weekday() + 1) % 7 in cron.weekdays
    day = (in_month or in_week) if cron.either_day else (in_month and in_week)
    clock = time.second in cron.seconds and time.minute in cron.minutes and time.hour in cron.hours
    return day and clock and time.month in cron.months


@pytest.mark.parametrize(
    ("five", "six"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/5 * * * 1-5", "0 */5 * * * 1-5"),
        ("0 0 * * 7", "0 0 0 * * 0"),
        ("@daily", "0 0 0 * * *"),
    ],
)
def test_five_fields_are_refused_with_their_translation(five, six):
    with pytest.raises(UserError, match="write '") as refusal:
        parse_cron(five)
    assert f"'{six}'" in str(refusal.value)
    assert parse_cron(six)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0 3 * *  * *", "7 fields"),
        ("", "0 fields"),
        ("0 60 * * * *", "minute.*out of range"),
        ("0 0 0 0 * *", "day of the month.*out of range"),
        ("0 0 0 * * 7", "day of the week.*out of range"),
        ("0 0 5-3 * * *", "hour.*out of range"),
        ("0 */0 * * * *", "minute"),
        ("0 1/ * * * *", "minute"),
        ("0 0 0 * foo *", "month.*jan-dec"),
        ("0 0 0 1, * *", "day of the month"),
        ("0 ² * * * *", "minute"),
        ("0 -1 * * * *", "minute"),
        ("0 0 0 30 feb *", "never comes"),
    ],
)
def test_what_cannot_be_read_is_named(text, says):
    with pytest.raises(UserError, match=says):
        parse_cron(text)


_BERLIN = ZoneInfo("Europe/Berlin")


def test_the_clock_is_that_of_the_zone():
    times = itertools.islice(parse_cron("0 0 3 * * *").after(_TUESDAY, _BERLIN), 2)
    assert [time.isoformat() for time in times] == ["2026-11-25T03:00:00+01:00", "2026-11-26T03:00:00+01:00"]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        # At 02:00 clocks are set to 03:00: the time does not exist that day.
        ("0 30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), ["2026-03-30T02:30:00+02:00"]),
        # At 03:00 they are set to 02:00: it comes twice.
        (
            "0 30 2 * * *",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"],
        ),
    ],
)
def test_clocks_that_are_set_forward_or_back(text, after, expected):
    times = itertools.islice(parse_cron(text).after(after, _BERLIN), len(expected))
    assert [time.isoformat() for time in times] == expected


@settings(deadline=None, max_examples=20)
@given(
    text=st.sampled_from(["0 0 3 * * *", "0 */20 1-4 * * sun", "30 0 0 1 * *"]),
    hours=st.integers(0, 24 * 40),
)
def test_the_last_time_is_the_last_of_all_that_follow(text, hours):
    cron, until = parse_cron(text), _TUESDAY + timedelta(hours=hours)
    times = list(itertools.takewhile(lambda time: time <= until, cron.after(_TUESDAY, _BERLIN)))
    assert cron.last(_TUESDAY, until, _BERLIN) == (times[-1] if times else None)
