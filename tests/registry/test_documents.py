"""Every document of the registry comes back as it went."""

import dataclasses
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.documents import from_bytes, to_bytes
from components.registry.run_records import RunRecord
from components.registry.versions import Manifest

# Building the strategies of whole documents takes long on a busy machine.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.none()
SCALARS = NUMBERS | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
MAPPINGS = st.dictionaries(st.text(), SCALARS, max_size=4)
FILES = st.dictionaries(
    st.text(min_size=1), st.fixed_dictionaries({"size": st.integers(0, 2**40), "crc32c": st.text()})
)

ENTRIES = st.builds(ChampionEntry)
MANIFESTS = st.builds(
    Manifest,
    settings=MAPPINGS,
    verdict=MAPPINGS,
    metrics=st.dictionaries(st.text(), NUMBERS, max_size=4),
    files=FILES,
)
RECORDS = st.builds(
    RunRecord,
    champion=MAPPINGS,
    settings=MAPPINGS,
    metrics=st.dictionaries(st.text(), NUMBERS, max_size=4),
    rows=st.dictionaries(st.text(), st.integers(0), max_size=3),
    steps=st.lists(MAPPINGS, max_size=3),
)


@calm
@given(document=ENTRIES | MANIFESTS | RECORDS)
def test_a_document_comes_back_as_it_went(document: ChampionEntry | Manifest | RunRecord) -> None:
    assert from_bytes(type(document), to_bytes(document), "file", "cure") == document


@calm
@given(document=ENTRIES | MANIFESTS | RECORDS)
def test_a_later_release_may_add_keys(document: ChampionEntry | Manifest | RunRecord) -> None:
    fields = {**json.loads(to_bytes(document)), "added later": 1}
    assert from_bytes(type(document), json.dumps(fields).encode(), "file", "cure") == document


@calm
@given(document=ENTRIES | MANIFESTS | RECORDS, data=st.data())
def test_a_document_that_lacks_a_key_is_refused(
    document: ChampionEntry | Manifest | RunRecord, data: st.DataObject
) -> None:
    lost = data.draw(st.sampled_from([field.name for field in dataclasses.fields(document)]))
    fields = {name: value for name, value in json.loads(to_bytes(document)).items() if name != lost}
    with pytest.raises(
        UserError, match=f"the file is corrupt: .*{lost} missing or of the wrong type; the cure"
    ):
        from_bytes(type(document), json.dumps(fields).encode(), "the file", "the cure")


def test_what_is_not_finite_is_never_written() -> None:
    record = RunRecord(run_id="run", outcome="failed", reason="it diverged", metrics={"rmse": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_bytes(record)
