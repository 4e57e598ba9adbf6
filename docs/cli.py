"""Writes docs/cli.md: the help of every subcommand, so that the documentation cannot drift from the code.

python docs/cli.py          # write it anew; a test fails when it is stale
"""

from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.cli import COMMANDS, twotower

TARGET = Path(__file__).with_name("cli.md")

_HEAD = """# The command line

Made by `make docs` from the help of each subcommand. Exit status: 0 when it did what was asked, 2 for a
mistake that one line names together with its cure, 1 for anything else.

Bash, Zsh and Fish complete subcommands and flags after one of these lines, in `~/.bashrc`, `~/.zshrc` and
`~/.config/fish/completions/twotower.fish`; `twotower` must be on the `PATH`:

```bash
eval "$(_TWOTOWER_COMPLETE=bash_source twotower)"
eval "$(_TWOTOWER_COMPLETE=zsh_source twotower)"
_TWOTOWER_COMPLETE=fish_source twotower | source
```
"""


def reference() -> str:
    """The text of docs/cli.md."""
    parts = [_HEAD]
    # As the command line itself has it: a command keeps the help flag of the context that it meets first.
    root = click.Context(twotower, **twotower.context_settings)
    for name in COMMANDS:
        command = twotower.get_command(root, name)
        assert command is not None
        parts += _sections(f"twotower {name}", command, root)
    return "\n".join(parts)


def _sections(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """The help of a command and, if it is a group, of those in it."""
    context = click.Context(
        command,
        info_name=name,
        help_option_names=parent.help_option_names,
        show_default=parent.show_default,
        max_content_width=110,
        terminal_width=110,
    )
    yield f"## {name}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from _sections(f"{name} {child}", command.commands[child], context)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
