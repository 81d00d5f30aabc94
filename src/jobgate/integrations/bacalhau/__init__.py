"""Bacalhau's network ``http``: the gate in the place of its gateway image.

``variables.py`` reads what the executor says, ``settings.py`` makes a gate of it.
"""
