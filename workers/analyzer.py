"""
What an analyzer is: the author's function, and what the orchestrator must know of it.

A value, which replicas, templates and children share; made by ``register``. Standard
library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from workers.analysis import JSON, Analysis
from workers.options import with_options
from workers.sample import Sample

if TYPE_CHECKING:
    from pydantic import BaseModel

#: ``Any``: options are a mapping or of the analyzer's own model.
Function = Callable[[Sample[Any]], Analysis]


@dataclass(frozen=True, kw_only=True, slots=True)
class Analyzer:
    """
    A registered analyzer: the author's function and what the orchestrator must know.

    Calling it calls the function. Fields as the arguments of ``workers.analyzer(…)``.
    """

    name: str
    version: str
    function: Function = field(repr=False)
    module: str
    accepts: tuple[str, ...] = ("*",)
    max_bytes: int | None = None
    run_seconds: float = 120.0
    network: bool = False
    max_tlp: Literal["clear", "green", "amber", "red"] = "red"
    sends_data_out: bool = False
    schema: Mapping[str, JSON] = field(default_factory=dict)
    options: type[BaseModel] | None = None
    title: str = ""
    description: str = ""
    memory_bytes: int = 2 * 1024**3
    reuse_child: bool = False

    def __call__(self, sample: Sample) -> Analysis:
        """
        Look at *sample*, in this process: no sandbox, no deadline.

        Raises:
            OptionsError: Its options do not fit the model that ``options`` is.
        """
        if self.options is None:
            return self.function(sample)
        return self.function(with_options(sample, self.options))
