"""Inputs as a step's function declares them: names, types, defaults, ranges and help texts."""

import inspect
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

from components.errors import UserError
from components.progress import log

F = TypeVar("F", bound=Callable[..., Any])

V = TypeVar("V")

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `Annotated[float, Range(0, 1)]`. With `exclusive`, the bounds are outside."""

    least: float
    greatest: float = math.inf
    exclusive: bool = False

    def __contains__(self, value: float) -> bool:
        if self.exclusive:
            return self.least < value < self.greatest
        return self.least <= value <= self.greatest

    def __str__(self) -> str:
        least, greatest = (f"{bound:,.15g}" for bound in (self.least, self.greatest))
        if math.isinf(self.greatest):
            return f"{'more than' if self.exclusive else 'at least'} {least}"
        return f"between {least} and {greatest}" if self.exclusive else f"{least} to {greatest}"


class Choice:
    """The values of a text: `Annotated[str, Choice("random", "time")]`."""

    def __init__(self, *values: str) -> None:
        self.values = values

    def __contains__(self, value: str) -> bool:
        return value in self.values

    def __str__(self) -> str:
        *first, last = filter(None, self.values)
        return f"{', '.join(first)} or {last}"


class NamedNumbers:
    """A text of numbers over 0 by name, `name=number,name=number`, or none: any of `names`, each once."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __contains__(self, text: str) -> bool:
        return self.read(text) is not None

    def __str__(self) -> str:
        return f"{','.join(f'{name}=NUMBER' for name in self._names)}, each more than 0, or some of them"

    def read(self, text: str) -> dict[str, float] | None:
        """Returns the numbers in `text` by name; None if it is not of that form."""
        numbers: dict[str, float] = {}
        for part in filter(None, text.split(",")):
            name, _, number = (word.strip() for word in part.partition("="))
            try:
                value = float(number)
            except ValueError:
                return None
            if name not in self._names or name in numbers or not 0 < value < math.inf:
                return None
            numbers[name] = value
        return numbers


class Several:
    """Marks a text that names one file or several, `Annotated[str, Several()]`: its flag can be repeated."""


def join_names(names: Sequence[str]) -> str:
    """Returns the text that names what a flag names that is repeated, one each: a list in JSON if several."""
    return names[0] if len(names) == 1 else json.dumps(names, ensure_ascii=False) if names else ""


def split_names(text: str) -> list[str]:
    """Returns the names in a text: those of a JSON list, as `join_names` gives it, or several by comma."""
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except ValueError:
            pass  # a pattern
    return [name for part in text.split(",") if (name := part.strip())]


@dataclass(frozen=True)
class Input:
    """An input of a step or of the pipeline."""

    name: str
    type: type
    default: Any  # REQUIRED if a value must be given
    help: str  # the text for people
    # The values that are accepted; None accepts all of the type.
    limits: "Range | Choice | NamedNumbers | None" = None
    several: bool = False  # true for a text of `Several`

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def description(self) -> str:
        """The help text, with the limits unless they go without saying or all choices are named in it."""
        told = isinstance(self.limits, NamedNumbers) or (
            isinstance(self.limits, Choice) and all(value in self.help for value in self.limits.values)
        )
        if self.limits in (None, Range(0)) or told:
            return self.help
        return f"{self.help.rstrip('.')} ({self.limits})."

    def check(self, value: Any) -> None:
        """Raises `UserError` if `value` is out of bounds."""
        finite = not isinstance(value, float) or math.isfinite(value)
        if not finite or (self.limits is not None and value not in self.limits):
            shown = f"{value:g}" if isinstance(value, float) else value
            raise UserError(f"{self.flag} {shown}: give {self._expected()}")

    def parse(self, text: str, label: str = "") -> Any:
        """Returns the value of `text`; a `UserError` begins with `label`, by default the flag."""
        label = label or f"{self.flag} "
        if self.type is dict:
            return _json_object(text, label)
        if self.type is bool:
            if text.lower() not in _TRUE | _FALSE:
                raise UserError(f"{label}{text}: give true or false")
            return text.lower() in _TRUE
        try:
            return self.type(text)
        except ValueError as error:
            raise UserError(f"{label}{text}: give {self._expected()}") from error

    def _expected(self) -> str:
        kind = {int: "a whole number", float: "a number"}.get(self.type, "")
        joint = ", " if isinstance(self.limits, Range) and kind else ""
        return f"{kind}{joint}{self.limits or ''}"


_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


def _json_object(text: str, label: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{label}{text}: not a JSON object; write it like '{{\"dimension\": 64}}'")
    return value


def inputs_of(function: Callable[..., Any]) -> dict[str, Input]:
    """Returns the inputs of a step by name, without what only KFP can give (`…_metadata`)."""
    texts = argument_texts(function.__doc__)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name.endswith("_metadata"):
            continue
        kind, limits = parameter.annotation, None
        if get_origin(kind) is Annotated:
            kind, limits = get_args(kind)
        several = isinstance(limits, Several)
        found[name] = Input(
            name,
            get_origin(kind) or kind,
            parameter.default,
            texts.get(name, ""),
            None if several else limits,
            several,
        )
    return found


def check_inputs(function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Raises `UserError` if one of `values` is out of the bounds that the step `function` declares."""
    inputs = inputs_of(function)
    for name, value in values.items():
        if name in inputs:
            inputs[name].check(value)


def say_renamed(old: str, new: str) -> None:
    """Says on standard error that an input has another name now."""
    log(f"{old} is now {new}; the old name goes with the next release")


def renamed(old: str, given: V, new: str, value: V) -> V:
    """Returns `value` or, if an input was `given` under its old name, that."""
    if not given:
        return value
    say_renamed(old, new)
    return given


def argument_texts(docstring: str | None, section: str = "Args") -> dict[str, str]:
    """Returns what a section of a docstring says of each name, each text as one line."""
    body = re.search(rf"^{section}:\n((?: .*\n|\n)*)", f"{inspect.cleandoc(docstring or '')}\n", re.MULTILINE)
    texts: dict[str, str] = {}
    if body is None:
        return texts
    block = inspect.cleandoc(f"\n{body[1]}")
    for names, text in re.findall(r"^([\w, ]+):((?:.*\n?)(?: .*\n?)*)", block, re.MULTILINE):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts


def summary(docstring: str | None) -> str:
    """Returns what stands in a docstring before its first section."""
    return re.split(r"\n+(?:Args|Returns|Raises):\n", inspect.cleandoc(docstring or ""))[0]


def documented_by(*steps: Callable[..., Any], **texts: str) -> Callable[[F], F]:
    """Gives a KFP component or pipeline the documentation of the steps behind it.

    KFP reads the docstring of the function, and sends its source, without decorators, to the cluster.

    Args:
      steps: where inputs are declared; the first that declares a name counts.
      texts: of artifacts that are not inputs of the step. What the function's own docstring says comes first.
    """

    def decorate(function: F) -> F:
        described = {
            name: one.description for step in reversed(steps) for name, one in inputs_of(step).items()
        }
        described |= texts | argument_texts(function.__doc__)
        names = [name for name in inspect.signature(function).parameters if name in described]
        arguments = _section("Args", {name: described[name] for name in names})
        results = inspect.signature(steps[0]).return_annotation
        returned = argument_texts(getattr(results, "__doc__", ""), "Attributes")
        function.__doc__ = "\n\n".join(
            [
                summary(function.__doc__ or steps[0].__doc__),
                *arguments,
                *_section("Returns", {name: returned[name] for name in getattr(results, "_fields", ())}),
            ]
        )
        return function

    return decorate


def _section(title: str, texts: Mapping[str, str]) -> list[str]:
    return [f"{title}:\n" + "\n".join(f"  {name}: {text}" for name, text in texts.items())] if texts else []
