"""Uncertainty of an ensemble's answers: scores, P(error), thresholds, audits, drift.

Plain numpy, scipy and scikit-learn; no Django. Every score has one sign: higher = less certain.
Start at `inference.uq.ensemble.Calibration`; docs/uncertainty.md explains the numbers.
"""
