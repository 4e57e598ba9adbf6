"""Every document of the registry comes back as it was written, by this release and by earlier ones."""

import json
import math
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.documents import Document, checksum_of, decode, encode
from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.run_records import RowCounts, RunRecord, SeenChampion
from components.registry.versions import GateDecision, Manifest
from components.storage import StoredFile, key_fault

SAMPLES = Path(__file__).with_name("samples")

# Building the strategies of whole documents takes long on a busy machine.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.none()
SCALARS = NUMBERS | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
MAPPINGS = st.dictionaries(st.text(), SCALARS, max_size=4)
METRICS = st.dictionaries(st.text(), NUMBERS, max_size=4)
TIMES = st.datetimes(timezones=st.just(UTC))
COUNTS = st.integers(0, 2**53)
KEYS = st.text(min_size=1).filter(lambda key: not key_fault(key))

ENTRIES = st.builds(
    ChampionEntry,
    sequence=COUNTS,
    version=st.text(),
    previous=st.text(),
    why=st.text(),
    reason=st.text(),
    run_id=st.text(),
    time=TIMES,
)
MANIFESTS = st.builds(
    Manifest,
    run_id=st.text(),
    fingerprint=st.text(),
    settings=MAPPINGS,
    metrics=METRICS,
    verdict=st.builds(GateDecision, blessed=st.booleans(), gate=st.text(), reason=st.text()),
    version=st.text(),
    created=TIMES,
    files=st.dictionaries(KEYS, st.builds(StoredFile, COUNTS, st.text()), min_size=1),
)
RECORDS = st.builds(
    RunRecord,
    run_id=st.text(),
    outcome=st.text(),
    reason=st.text(),
    blessed=st.booleans(),
    champion=st.builds(SeenChampion, version=st.none() | st.text(), sequence=st.none() | COUNTS),
    metrics=METRICS,
    settings=MAPPINGS,
    rows=st.builds(RowCounts, read=COUNTS, kept=COUNTS, rejected=COUNTS),
    time=TIMES,
)
DOCUMENTS = ENTRIES | MANIFESTS | RECORDS


@calm
@given(document=DOCUMENTS)
def test_a_document_comes_back_as_it_was_written(document: Document) -> None:
    assert decode(encode(document), type(document), "file", "cure") == document


@calm
@given(document=DOCUMENTS)
def test_a_later_release_may_add_keys(document: Document) -> None:
    fields = {**json.loads(encode(document)), "added later": 1}
    fields["checksum"] = checksum_of(fields)
    assert decode(json.dumps(fields).encode(), type(document), "file", "cure") == document


@calm
@given(document=DOCUMENTS, data=st.data())
def test_a_document_that_lacks_a_key_is_refused(document: Document, data: st.DataObject) -> None:
    required = ["format", *(name for name in ("version", "run_id") if not isinstance(document, RunRecord))]
    lost = data.draw(st.sampled_from(required))
    fields = {name: value for name, value in json.loads(encode(document)).items() if name != lost}
    with pytest.raises(UserError, match=rf"^the file: field `{lost}`: .*; the cure$"):
        decode(json.dumps(fields).encode(), type(document), "the file", "the cure")


@calm
@given(document=DOCUMENTS, data=st.data())
def test_a_document_with_a_flipped_bit_is_refused_or_the_same(
    document: Document, data: st.DataObject
) -> None:
    damaged = bytearray(encode(document))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        found = decode(bytes(damaged), type(document), "file")
    except UserError:
        return
    assert found == document


def test_a_document_written_by_hand_needs_no_checksum() -> None:
    data = (SAMPLES / "champion.json").read_bytes()
    entry = decode(data, ChampionEntry, "file")
    assert decode(data.replace(b"sequels only", b"no more"), ChampionEntry, "file").reason == "no more"
    edited = encode(entry).replace(b"sequels only", b"no more")
    with pytest.raises(
        UserError, match="file: it is damaged: its content does not have its checksum; restore"
    ):
        decode(edited, ChampionEntry, "file", "restore it")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("champion.json", ChampionEntry),
        ("manifest.json", Manifest),
        ("run_published.json", RunRecord),
        ("run_skipped.json", RunRecord),
        ("run_failed.json", RunRecord),
    ],
)
def test_files_of_earlier_releases_are_read_and_written_alike(name: str, kind: type[Document]) -> None:
    """The samples were written before the documents were typed; the names of settings alone have changed."""
    data = (SAMPLES / name).read_bytes()
    present = json.loads(data.replace(b'"members"', b'"ensemble_size"').replace(b'"masked"', b'"mask_rate"'))
    sealed = json.dumps({**present, "checksum": checksum_of(present)}, indent=2, ensure_ascii=False)
    assert encode(decode(data, kind, name)).decode() == f"{sealed}\n"


def test_what_is_not_finite_is_never_written() -> None:
    record = RunRecord(run_id="run", outcome="failed", reason="it diverged", metrics={"rmse": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(record)
