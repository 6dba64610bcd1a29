"""
Magika on one core, and silent: without the threads that its runtime would make for
every core, and without the events that it would send.

Loading this loads Magika, for which there must be walls already.
"""

from __future__ import annotations

import onnxruntime
from magika import Magika
from typing_extensions import override


class OneCoreMagika(Magika):
    """As ``Magika``; it offers no option for what its runtime is given."""

    @override
    def _init_onnx_session(self) -> onnxruntime.InferenceSession:
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            self._model_path, options, providers=["CPUExecutionProvider"]
        )
