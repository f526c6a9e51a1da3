"""What a client has asked for of one type of resources. Pure.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

WILDCARD = "*"


@dataclass(slots=True)
class Subscription:
    """Names, or all resources of the type, or both."""

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    _named_before: bool = False
    _started: bool = False

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def change(self, subscribe: Collection[str], unsubscribe: Collection[str]) -> None:
        """A request of the incremental variant.

        "if the first request on the stream for a resource type has no names, it is treated as
        wildcard"; it ends only by unsubscribing from `*`.
        """
        # Only the very first request: later ones without names are mere acknowledgements.
        if not self._started and not subscribe:
            self.wildcard = True
        self._started = True
        self.wildcard = (self.wildcard or WILDCARD in subscribe) and WILDCARD not in unsubscribe
        # Unsubscribed last: a name that is in both lists is not wanted.
        self.names |= set(subscribe) - {WILDCARD}
        self.names -= set(unsubscribe)

    def replace(self, names: Collection[str]) -> None:
        """A request of the state-of-the-world variant: these names and no others.

        No names mean everything until a request had names, and nothing afterwards.
        """
        # Once there were names, an empty list means nothing at all: the client let go of the last.
        self._named_before |= bool(names)
        self._started = True
        self.wildcard = WILDCARD in names or not self._named_before
        self.names = set(names) - {WILDCARD}
