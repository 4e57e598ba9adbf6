"""Subcommands of `twotower` that are generated from the functions of steps."""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

import click
from click.core import ParameterSource

from components.declaration import (
    REQUIRED,
    Choice,
    Input,
    inputs_of,
    join_names,
    say_renamed,
    summary,
)
from components.documents import plain
from components.errors import UserError


class Subcommand(click.Command):
    """A command that accepts earlier names of its flags for one release; `renamed`: earlier -> flag."""

    def __init__(self, *arguments: Any, renamed: Mapping[str, str] = {}, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._renamed = renamed

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [self._present_name(word) for word in args]
        if not ctx.resilient_parsing:  # else a shell completes the words
            self._refuse_repeated(ctx, words)
        return super().parse_args(ctx, words)

    def _refuse_repeated(self, ctx: click.Context, words: list[str]) -> None:
        """Raises `UserError` for a flag with one value that is given twice: the first would be lost."""
        _, _, order = self.make_parser(ctx).parse_args(list(words))
        for one in order:
            once = isinstance(one, click.Option) and not (one.multiple or one.is_flag or one.count)
            if once and order.count(one) > 1:
                raise UserError(f"{one.opts[-1]} is given twice, and takes one value; give it once")

    def _present_name(self, word: str) -> str:
        flag, separator, value = word.partition("=")
        if flag not in self._renamed:
            return word
        say_renamed(flag, self._renamed[flag])
        return f"{self._renamed[flag]}{separator}{value}"


# Bytes of a file's name that are no text, as Python reads the command line.
_UNREADABLE = re.compile("[\udc80-\udcff]")


class _Text(click.ParamType[Any]):
    """The type of a flag: its mistakes are one line, like all others."""

    def __init__(self, declared: Input) -> None:
        self._declared = declared
        self.name = {int: "integer", float: "number", dict: "json"}.get(declared.type, "text")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.isprintable() and _UNREADABLE.search(value):
            shown = value.encode(errors="backslashreplace").decode()
            raise UserError(f"{self._declared.flag} {shown}: this is no UTF-8; rename the file")
        read = self._declared.parse(value) if isinstance(value, str) else value
        self._declared.check(read)
        return read


def flag_of(declared: Input, *short: str) -> Callable[[Any], Any]:
    """Returns the click option of an input: `short` are further names of the flag, such as "-k"."""
    off = f"/--no-{declared.flag[2:]}" if declared.type is bool else ""
    optional: dict[str, Any] = {}
    if declared.default is REQUIRED:
        optional["required"] = True
    else:
        optional["default"] = json.dumps(declared.default) if declared.type is dict else declared.default
        optional["show_default"] = declared.type is not bool and declared.default != ""
    if declared.several:
        optional = {"multiple": True, "callback": lambda _, __, names: join_names(names)}
        optional["required"] = declared.default is REQUIRED
    choices = filter(None, declared.limits.values) if isinstance(declared.limits, Choice) else ()
    return click.option(
        *short,
        f"{declared.flag}{off}",
        declared.name,
        type=bool if declared.type is bool else _Text(declared),
        metavar=f"[{words}]" if (words := "|".join(choices)) else None,
        help=declared.help if words else declared.description,
        **optional,
    )


def flags(
    step: Callable[..., Any],
    *,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] = {},
    short: Mapping[str, str] = {},
) -> Callable[[Any], Any]:
    """Returns a decorator that gives a click command one flag for each input of a step.

    Args:
      without: the inputs that are left out.
      defaults: input -> its default for people, where it differs from the step's.
      short: input -> a further name of its flag.
    """

    def decorate(function: Any) -> Any:
        for name, declared in reversed(inputs_of(step).items()):
            if name not in without:
                own = dataclasses.replace(declared, default=defaults.get(name, declared.default))
                function = flag_of(own, *filter(None, [short.get(name)]))(function)
        return function

    return decorate


def setting_flags(options: type, into: str) -> Callable[[Any], Any]:
    """Returns a decorator that gives a click command one flag for each field of the dataclass `options`.

    The flags that are given override what the input `into`, a dict of these options by name, says.
    """

    def decorate(function: Any) -> Any:
        declared = inputs_of(options)

        @functools.wraps(function)
        def call(**arguments: Any) -> Any:
            source = click.get_current_context().get_parameter_source
            values = {name: arguments.pop(name) for name in declared}
            given = {name: of for name, of in values.items() if source(name) is not ParameterSource.DEFAULT}
            return function(**{**arguments, into: {**arguments.get(into, {}), **given}})

        for one in reversed(declared.values()):
            call = flag_of(one)(call)
        return call

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def print_json(value: Any) -> None:
    """Prints a value, which may hold documents and times, as one JSON document; times in RFC 3339."""

    def simple(part: Any) -> Any:
        return part.isoformat() if isinstance(part, datetime) else plain(part)

    click.echo(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=simple))


def subcommand(
    step: Callable[..., Any],
    *,
    cls: type[Subcommand] = Subcommand,
    renamed: Mapping[str, str] = {},
    **how: Any,
) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes the function that is decorated, which people call through flags, the subcommand of a step.

    Its help is its docstring or, if it has none, the step's. `how` are the arguments of `flags`.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        command: click.Command = click.command(
            step.__name__.replace("_", "-"),
            cls=cls,
            renamed=renamed,
            help=summary(function.__doc__ or step.__doc__),
        )(flags(step, **how)(function))
        return command

    return decorate


def command_of(step: Callable[..., Any]) -> click.Command:
    """Returns the subcommand of a step that people call as the pipeline does."""
    return subcommand(step)(step)
