"""The file of API keys: what is read, refused, and read again."""

import hmac
from pathlib import Path

import pytest

from components.errors import UserError
from components.serve import api_keys
from components.serve.api_keys import ApiKeys

ONE, OTHER = "k" * 32, "aB3._~+/-" * 3 + "=="


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"# of the shop\n{ONE}\n\n  {OTHER}  # of the app\n")
    file.chmod(0o600)
    return file


def test_each_key_of_the_file_is_accepted_and_nothing_else(path: Path) -> None:
    keys = ApiKeys(str(path))
    assert keys.accepts(ONE.encode())
    assert keys.accepts(OTHER.encode())
    for wrong in (b"", b"k", b"k" * 31, b"k" * 33, ONE.encode().upper(), b"# of the shop", b"\xff" * 32):
        assert not keys.accepts(wrong)


def test_every_key_is_compared_in_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, compared = ApiKeys(str(path)), []
    same = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return same(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (ONE.encode(), OTHER.encode(), b"x"):
        keys.accepts(key)
    assert compared == [(32, 32)] * 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"keys has no key; write one a line"),
        ("# none\n\n", r"keys has no key; write one a line"),
        (
            f"{ONE}\nshort\n",
            r"keys, line 2: a key has 16 or more letters, .*; `openssl rand -hex 32` makes one",
        ),
        (f"{ONE} {ONE}\n", r"keys, line 1: a key has 16 or more"),
        ("é" * 20, r"keys, line 1: a key has 16 or more"),
    ],
)
def test_a_faulty_file_is_a_line_without_the_key(path: Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        ApiKeys(str(path))
    assert ONE not in str(refused.value)
    assert "short" not in str(refused.value)


@pytest.mark.parametrize(("name", "reason"), [("absent", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_a_line(path: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"--api-keys .*: {reason}.*; name a file with one key a line"):
        ApiKeys(str(path.parent / name))


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o440, 0), (0o640, 0), (0o644, 1), (0o660, 1)])
def test_a_file_that_others_can_read_or_change_is_remarked(
    path: Path, mode: int, warnings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path.chmod(mode)
    ApiKeys(str(path))
    said = capsys.readouterr().err
    assert said.count("others can read or change this file; `chmod 600`") == warnings
    assert ONE not in said


def test_a_change_is_read_within_a_second_and_a_broken_one_leaves_the_keys_before(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ApiKeys(str(path))
    new = "n" * 20
    replacement = path.with_name("new")
    replacement.write_text(new)
    replacement.replace(path)  # as Kubernetes changes a secret
    assert keys.accepts(ONE.encode())
    monkeypatch.setattr(api_keys, "_SECONDS_BETWEEN_LOOKS", 0.0)
    assert not keys.accepts(ONE.encode())
    assert keys.accepts(new.encode())
    assert capsys.readouterr().err.count("read again; keys: 1") == 1

    path.write_text("bad")
    for _ in range(3):
        assert keys.accepts(new.encode())
    path.unlink()
    for _ in range(3):
        assert keys.accepts(new.encode())
    said = capsys.readouterr().err
    assert said.count("line 1: a key has 16 or more") == 1
    assert said.count("No such file or directory; name a file with one key a line; the keys before stay") == 1

    path.write_text(ONE)
    assert keys.accepts(ONE.encode())
    assert not keys.accepts(new.encode())
