"""Processes whose answer is known: the controls that an estimator must reject."""

from quasicrit.reference.controls import autoregressive, independent

__all__ = ["autoregressive", "independent"]
