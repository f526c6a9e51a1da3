"""Types that a skops file may hold without being trusted, beside those that skops trusts itself.

scikit-learn's compiled ones: they hold numbers and other such objects, and run nothing when they
are made.
"""

from __future__ import annotations

TRUSTED: frozenset[str] = frozenset()
