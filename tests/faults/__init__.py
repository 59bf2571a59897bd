"""Runs that are killed, starved of disk, handed damaged files or started twice: the same values, or one clear sentence.

``make faults`` runs the whole campaign and writes results/faults.md; tests/workflow/test_faults.py holds a short version.
"""
