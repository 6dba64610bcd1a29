"""
The decorator that turns a function into an analyzer.

Imports no Celery: an author's module loads in milliseconds, and so does the template
that forks the sandbox children. ``module.app``, which ``celery -A module worker`` looks
for, is built on first use.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from workers.analysis import JSON, Analysis
from workers.analyzer import Analyzer
from workers.sample import Options, Sample

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAME = re.compile(r"[a-zA-Z0-9_:\-.]{1,64}")

TLP = Literal["clear", "green", "amber", "red"]

#: As the contracts have them, which load pydantic: an analyzer need not.
_WORD_MAX = 128
_SECONDS_MAX = 366 * 86_400
_COUNT_MAX = 2**63 - 1


def _is_word(given: object) -> bool:
    return isinstance(given, str) and len(given) <= _WORD_MAX and "\0" not in given


def _are_patterns(given: object) -> bool:
    # A text is a collection too, of letters that are no type of any sample.
    if isinstance(given, str) or not isinstance(given, Collection):
        return False
    return all(_is_word(pattern) and pattern for pattern in given)


def _is_count(given: object) -> bool:
    return isinstance(given, int) and 0 <= given <= _COUNT_MAX


#: Argument → whether what was given will do, and what would. What the orchestrator
#: does not take ends every heartbeat; here its author sees it first.
_FITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (
        lambda name: (
            isinstance(name, str)
            and bool(_NAME.fullmatch(name))
            and name not in {".", ".."}
        ),
        "1 to 64 letters, digits or _ : - .",
    ),
    "version": (_is_word, f"a text of at most {_WORD_MAX} characters"),
    "accepts": (_are_patterns, 'a list of texts, such as ["pe"]'),
    "max_bytes": (lambda count: count is None or _is_count(count), "a number or None"),
    "run_seconds": (
        lambda given: isinstance(given, int | float) and 0 < given <= _SECONDS_MAX,
        f"a number above 0, at most {_SECONDS_MAX}",
    ),
    "max_tlp": (
        lambda given: given in get_args(TLP),
        f"one of {', '.join(get_args(TLP))}",
    ),
    "memory_bytes": (_is_count, "a number"),
}


def analyzer(  # noqa: PLR0913  (the SDK's whole surface: keywords with defaults)
    name: str,
    *,
    version: str,
    accepts: Sequence[str] = ("*",),
    max_bytes: int | None = None,
    run_seconds: float = 120.0,
    network: bool = False,
    max_tlp: TLP = "red",
    sends_data_out: bool = False,
    schema: Mapping[str, JSON] | None = None,
    options: type[Options] | None = None,
    title: str = "",
    description: str = "",
    memory_bytes: int = 2 * 1024**3,
    reuse_child: bool = False,
) -> Callable[[Callable[[Sample[Options]], Analysis]], Analyzer]:
    """
    Register a function that takes a Sample and returns an Analysis.

    Args:
        name: Short name of the worker: letters, digits and ``_ : - .``, at most 64.
        version: Bump it on each change of code, rules or settings.
        accepts: Which samples: ``*``, a type (``pe``), a super type (``executable``) or
            a MIME type (``application/*``); any one suffices.
        max_bytes: Samples above this size are not sent. ``None``: no limit.
        run_seconds: An analysis that takes longer is killed, and the task times out.
        network: Whether the function may open sockets; by default it can not.
        max_tlp: The most restricted TLP it may see. ``sends_data_out``: it shares data.
        schema: JSON Schema of the result; a result that does not fit fails the task.
        options: A pydantic model; ``sample.options`` is an instance of it then, and
            options that do not fit fail the task. ``None``: they are what was given.
        title: English name for people; the short name if empty.
        description: English sentence for people; the docstring if empty.
        memory_bytes: Address space of one process of an analysis.
        reuse_child: Let one process look at many samples of the same customer, one
            after another: it saves a millisecond or two each, and a sample that takes
            the process over sees the next ones. For functions that are memory-safe and
            keep nothing from one sample to the next.

    Raises:
        ValueError: An argument is not valid; the message says which.
    """
    _check(
        name=name,
        version=version,
        accepts=accepts,
        max_bytes=max_bytes,
        run_seconds=run_seconds,
        max_tlp=max_tlp,
        memory_bytes=memory_bytes,
    )
    model = _model(options)

    def register(function: Callable[[Sample[Options]], Analysis]) -> Analyzer:
        if iscoroutinefunction(function):
            msg = f"{function.__name__}: must be no async function: nobody awaits it"
            raise ValueError(msg)
        registered = Analyzer(
            name=name,
            version=version,
            function=function,
            module=function.__module__,
            accepts=tuple(accepts),
            max_bytes=max_bytes,
            run_seconds=run_seconds,
            network=network,
            max_tlp=max_tlp,
            sends_data_out=sends_data_out,
            schema=schema or {},
            options=model,
            title=title or name,
            description=description or (function.__doc__ or "").strip(),
            memory_bytes=memory_bytes,
            reuse_child=reuse_child,
        )
        _offer_celery_app(registered)
        return registered

    return register


def _check(**given: object) -> None:
    for name, value in given.items():
        fits, wanted = _FITS[name]
        if not fits(value):
            msg = f"{name}: {value!r} must be {wanted}"
            raise ValueError(msg)


def _model(options: type[Options] | None) -> type[BaseModel] | None:
    if options is None:
        return None
    # Whoever has a model has loaded pydantic; the others shall not have to.
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not _is_below(options, pydantic.BaseModel):
        msg = f"options: {options!r} must be a pydantic model: a class, no instance"
        raise ValueError(msg)
    if _is_below(options, pydantic.RootModel):
        msg = f"options: {options!r} must have fields: options have names"
        raise ValueError(msg)
    return cast("type[BaseModel]", options)


def _is_below(given: object, base: type) -> bool:
    return isinstance(given, type) and issubclass(given, base)


def _offer_celery_app(registered: Analyzer) -> None:
    namespace = vars(sys.modules[registered.module])

    def __getattr__(name: str) -> object:  # noqa: N807  (PEP 562)
        if name == "app":
            from workers.replica.app import celery_app  # noqa: PLC0415  (heavy: only if asked)

            return celery_app(registered)
        msg = f"module {registered.module!r} has no attribute {name!r}"
        raise AttributeError(msg)

    namespace.setdefault("__getattr__", __getattr__)
