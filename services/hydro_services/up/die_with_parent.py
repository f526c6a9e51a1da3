"""Ties the process that imports it to its parent: the first module of the forkserver's preload.

The parts that are forked from the forkserver are tied to it, and it is tied to `hydro up`: so no
part outlives `hydro up`, however that ends.
"""

from __future__ import annotations

from hydro_services.linux import die_with_parent, leave_group

die_with_parent()
leave_group()
