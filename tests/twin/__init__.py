"""The twin: a slow, plainly correct frmcore. It interprets the checked policy with Python's own numbers and recomputes
every feature from the full list of recorded events, so that reading it is enough to believe it.

It shares with the engine the checked policy (trees, types, names), `frmcore.text` and google-re2, nothing else: no
plan, no program, no ring, no hash.
"""

from twin.engine import Twin

__all__ = ["Twin"]
