"""R1 on Redis: everything but the rules in one Lua script, one call over a unix socket; the rules in Python (2 us).

Entries are members of sorted sets by time; counts are ZCOUNT, the rest reads the entries of the longest window it needs. Sums
over seven days are kept as totals that entries leave as they expire. Distinct values are members by their latest time.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
