"""Fewer bits a weight when the file is written: post-training quantisation by the TFLite converter."""

from __future__ import annotations

from typing import ClassVar

from mlbench.contracts import Compressor, Context, Form, Order, Precision


class _PostTraining(Compressor):
    """Marks the form to be written in another precision; the network itself stays float32."""

    order: ClassVar[Order] = Order.QUANTISE
    needs_tuning: ClassVar[bool] = False
    precision: ClassVar[Precision]

    def compress(self, form: Form, context: Context) -> Form:
        """The same network, to be written in this precision."""
        return form.with_export(precision=self.precision)


class Float16(_PostTraining):
    """Weights as 16-bit floats: half the bytes, computed in float32."""

    name: ClassVar[str] = "float16"
    summary: ClassVar[str] = "16-bit float weights, float32 arithmetic"
    source: ClassVar[str] = "TFLite converter, post-training float16 quantisation"
    precision: ClassVar[Precision] = "float16"


class Dynamic(_PostTraining):
    """Weights as 8-bit integers, activations quantised on the fly."""

    name: ClassVar[str] = "dynamic"
    summary: ClassVar[str] = "int8 weights, activations quantised at run time"
    source: ClassVar[str] = "TFLite converter, post-training dynamic-range quantisation"
    precision: ClassVar[Precision] = "dynamic"


class Int8(_PostTraining):
    """Weights and activations as 8-bit integers, ranges calibrated on training faces."""

    name: ClassVar[str] = "int8"
    summary: ClassVar[str] = "int8 weights and activations, calibrated on training faces"
    source: ClassVar[str] = "Jacob et al. 2018; TFLite converter, full-integer quantisation"
    precision: ClassVar[Precision] = "int8"
