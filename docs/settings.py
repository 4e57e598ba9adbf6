"""Writes docs/settings.md: every training setting, as its field in components/train/settings.py declares it.

python docs/settings.py          # write it anew; a test fails when it is stale
"""

from pathlib import Path

from components.train.settings import OLD_NAMES, PRESETS, NotebookSettings, Setting, Settings, declarations

TARGET = Path(__file__).with_name("settings.md")

_HEAD = """# Training settings

Made by `make docs` from the fields of `components/train/settings.py`. `--train-settings` overrides them by
name, as a JSON object: `--train-settings '{"steps": 500, "dropout": 0.6}'`. Where the default is *by size*,
the numbers of ratings, users and movies decide. `model.json` has the values that a training used.
"""


def reference() -> str:
    """Returns the text of docs/settings.md."""
    parts = [_HEAD]
    for name, settings in PRESETS.items():
        parts.append(f"## Preset `{name}`\n\n{_table(settings)}\n")
    old = ", ".join(f"`{old}` ({new})" for old, new in OLD_NAMES.items())
    parts.append(f"## Earlier names\n\nThey are still accepted, and count as the same setting: {old}.\n")
    return "\n".join(parts)


def _table(settings: Settings | NotebookSettings) -> str:
    rows = [
        f"| `{name}` | {_default(setting)} | {'whole number, ' if kind is int else ''}{setting.limits} | "
        f"{setting.unit} | {setting.meaning} |"
        for name, kind, setting in declarations(settings)
    ]
    return "\n".join(["| setting | default | values | unit | meaning |", "|---|---|---|---|---|", *rows])


def _default(setting: Setting) -> str:
    return f"*by size*: {setting.by_size}" if setting.by_size else f"{setting.default:,}"


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
