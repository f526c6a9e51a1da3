"""One xDS stream as a state machine without I/O: both variants, ordered by what refers to what.

The specification: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

Theory of operation. `receive` and `publish` change the state, `poll` says what to send now. Of
each type at most one response is under way; the next waits for its answer and takes along what
has changed since. There are no phases: each resource goes as soon as it may, by two local rules.

- Make before break: a resource is sent when the client has acknowledged all that it refers to
  (of an earlier type, see `ResourceType`, or of its own), in the present version. Should the client
  have refused a newer version of that, its last good one will do.
- Break late: a resource is removed when nothing that the client has, or is sent, refers to it.

A refusal (nack) names no resource. A refused response of many resources is sent again in halves,
until what is at fault stands alone: then it is known by name, and all others are applied. The
state-of-the-world variant cannot send halves; there all that the response changed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot
from hydro_envoy.xds.subscription import Subscription

REFERRERS = {
    ResourceType.CLUSTER: (ResourceType.LISTENER, ResourceType.SCOPE, ResourceType.ROUTES),
    ResourceType.ENDPOINTS: (
        ResourceType.CLUSTER,
        ResourceType.LISTENER,
        ResourceType.SCOPE,
        ResourceType.ROUTES,
    ),
    ResourceType.LISTENER: (),
    ResourceType.FILTER: (ResourceType.LISTENER,),
    ResourceType.SCOPE: (),
    ResourceType.ROUTES: (ResourceType.SCOPE,),
    ResourceType.SECRET: (),
}
"""The types that may refer to a type. No cycles: else two removals could wait for each other."""


@dataclass(frozen=True, slots=True)
class Request:
    """A discovery request of either variant."""

    type: ResourceType
    nonce: str = ""
    """Of the response it answers; empty in the first request for the type."""
    error: str | None = None
    """The client's words when it refuses."""
    names: tuple[str, ...] = ()
    """State of the world: all that is wanted."""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    """Incremental, first request for the type: what the client has from an earlier stream."""


@dataclass(frozen=True, slots=True)
class Response:
    """A discovery response of either variant."""

    type: ResourceType
    nonce: str
    version: str
    """State of the world: of the whole type."""
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    """Incremental: what the client is to drop, or asked for and does not exist."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that the client refused, and its words."""

    version: str
    message: str


@dataclass(frozen=True, slots=True)
class _Flight:
    nonce: str
    items: Mapping[str, Resource | None]


@dataclass(frozen=True, slots=True)
class _Uses:
    refs: frozenset[Ref]
    """What is referred to by something that the client has or is sent."""
    unknown: frozenset[ResourceType]
    """Of these it may have some from an earlier stream that we do not know."""


@dataclass(slots=True)
class _TypeState:
    subscription: Subscription = field(default_factory=Subscription)
    held: dict[str, Resource] = field(default_factory=dict)
    """What the client has acknowledged."""
    refused: dict[str, Refused] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """What may differ from the target."""
    forced: set[str] = field(default_factory=set)
    """Those of them to be sent even when they do not differ."""
    suspects: list[frozenset[str]] = field(default_factory=list)
    """Parts of a refused response, to be sent one by one."""
    flight: _Flight | None = None
    nonce: str = ""
    answered: bool = False

    def concerns(self, name: str) -> bool:
        """The client has it, is sent it, or waits for an answer to having asked for it."""
        flying = self.flight.items if self.flight else ()
        return name in self.held or name in self.forced or name in flying

    def require(self, names: Iterable[str]) -> None:
        """The names are sent again, whatever the client had."""
        for name in names:
            self.held.pop(name, None)
            self.refused.pop(name, None)
            self.forced.add(name)
            self.pending.add(name)


class Session:
    """The state of one stream."""

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._target: Snapshot | None = None
        self._types: dict[ResourceType, _TypeState] = {}
        self.absent: frozenset[ResourceType] = frozenset()
        """Types of which the client never has anything."""
        self._sent = 0
        self._uses: _Uses | None = None
        """As of the present poll, when asked for."""

    # ---- what happens

    def publish(self, snapshot: Snapshot) -> None:
        """What the client is to have from now on. Nothing is sent before the first one."""
        old, self._target = self._target or Snapshot(), snapshot
        for type_, state in self._types.items():
            before, after = old.resources[type_], snapshot.resources[type_]
            changed = {n for n, r in after.items() if before.get(n) is not r}
            changed |= before.keys() - after.keys()
            state.pending |= {n for n in changed if state.subscription.covers(n)}
            # What came and went meanwhile: a client that never answers would collect it for ever.
            state.pending -= {n for n in changed if n not in after and not state.concerns(n)}
            # State of the world: it was the whole response that was refused.
            again = changed if self._incremental or not changed else set(state.refused)
            state.pending |= again & state.refused.keys()
            for name in again:
                state.refused.pop(name, None)

    def receive(self, request: Request) -> None:
        """A request from the client.

        "the server should not send a response for stale nonces": a state-of-the-world request
        with one is ignored, as a newer one follows; an incremental one still counts as to what
        it subscribes to.
        """
        first = request.type not in self._types
        state = self._types.setdefault(request.type, _TypeState())
        if state.flight and request.nonce == state.flight.nonce:
            self._answered(state, state.flight, request.error)
        elif not self._incremental and request.nonce != state.nonce and not first:
            return
        if self._incremental:
            self._change(state, request, first)
        else:
            self._replace(state, request, first)

    def poll(self) -> list[Response]:
        """What to send now, in this order; it counts as sent."""
        if self._target is None:
            return []
        self._uses = None
        idle = [(t, self._types[t]) for t in ResourceType if t in self._types]
        found = [self._next(t, state) for t, state in idle if state.flight is None]
        return [response for response in found if response]

    # ---- what is known

    def has(self, ref: Ref) -> bool:
        """The client has acknowledged the present version, or the removal."""
        if self._target is None:
            return False
        state, wanted = self._types.get(ref.type), self._target.get(ref)
        if state is None:
            return wanted is None
        if wanted is None:
            flying = state.flight and state.flight.items.get(ref.name)
            return ref.name not in state.held and not flying
        held = state.held.get(ref.name)
        return held is not None and held.version == wanted.version

    def refusal(self, ref: Ref) -> Refused | None:
        """What the client said against the present version, if it refused it."""
        state = self._types.get(ref.type)
        return state.refused.get(ref.name) if state else None

    def refusals(self) -> list[tuple[Ref, Refused]]:
        """All refusals, sorted."""
        return [
            (Ref(type_, name), refused)
            for type_, state in sorted(self._types.items())
            for name, refused in sorted(state.refused.items())
        ]

    def count_names(self, type_: ResourceType) -> int:
        """How many resources of a type the client asks for by name."""
        state = self._types.get(type_)
        return len(state.subscription.names) if state else 0

    def held(self) -> dict[ResourceType, dict[str, Resource]]:
        """What the client has acknowledged, by type and name."""
        return {type_: dict(state.held) for type_, state in self._types.items()}

    def wanted(self) -> Mapping[ResourceType, Mapping[str, Resource]]:
        """What it should have, by type and name."""
        return (self._target or Snapshot()).resources

    def lacking(self) -> list[Ref]:
        """What of the target the client has not acknowledged, or not removed; sorted."""
        if self._target is None:
            return []
        lacking = []
        for type_, table in self._target.resources.items():
            state = self._types.get(type_, _TypeState())
            if type_ is ResourceType.SECRET:  # asked for when the first cluster needs one
                table = {n: r for n, r in table.items() if state.subscription.covers(n)}
            held = state.held
            lacking += [
                Ref(type_, n)
                for n, r in table.items()
                if n not in held or held[n].version != r.version
            ]
            lacking += [Ref(type_, n) for n in sorted(held.keys() - table.keys())]
        return lacking

    # ---- requests

    def _change(self, state: _TypeState, request: Request, first: bool) -> None:
        state.subscription.change(request.subscribe, request.unsubscribe)
        self._forget_uncovered(state, request.unsubscribe)
        if first:
            state.held = {
                name: self._known(Ref(request.type, name), version)
                for name, version in request.initial_versions.items()
                if state.subscription.covers(name)
            }
            state.pending |= state.held.keys() | self._covered(request.type)
        # "the server must send the resource even if it believes that the client has it"
        state.require(set(request.subscribe) - request.initial_versions.keys() - {"*"})
        if "*" in request.subscribe:
            state.pending |= self._covered(request.type)

    def _replace(self, state: _TypeState, request: Request, first: bool) -> None:
        before = set(state.subscription.names)
        state.subscription.replace(request.names)
        self._forget_uncovered(state, before | state.held.keys())
        state.require(state.subscription.names - before)
        state.pending |= self._covered(request.type) - state.held.keys()

    def _forget_uncovered(self, state: _TypeState, names: Iterable[str]) -> None:
        for name in [n for n in names if not state.subscription.covers(n)]:
            state.held.pop(name, None)
            state.refused.pop(name, None)
            state.pending.discard(name)
            state.forced.discard(name)

    def _covered(self, type_: ResourceType) -> set[str]:
        """What exists of what is subscribed to."""
        table = self._target.resources[type_] if self._target else {}
        subscription = self._types[type_].subscription
        return set(table) if subscription.wildcard else table.keys() & subscription.names

    def _known(self, ref: Ref, version: str) -> Resource:
        """What the client has from an earlier stream; without a body where we do not know it."""
        present = self._target.get(ref) if self._target else None
        if present and present.version == version:
            return present
        return Resource(ref.type, ref.name, version, b"")

    # ---- answers

    def _answered(self, state: _TypeState, flight: _Flight, error: str | None) -> None:
        state.flight = None
        if error is None:
            self._accepted(state, flight)
        elif self._incremental and len(flight.items) > 1:
            names = sorted(flight.items)
            half = len(names) // 2
            state.suspects[:0] = [frozenset(names[:half]), frozenset(names[half:])]
        elif flight.items.keys() & state.pending or (state.pending and not self._incremental):
            state.pending |= flight.items.keys()  # what was refused is not what is wanted now
        else:
            versions = {name: each.version if each else "" for name, each in flight.items.items()}
            state.refused |= {name: Refused(v, error) for name, v in versions.items()}

    def _accepted(self, state: _TypeState, flight: _Flight) -> None:
        for name, each in flight.items.items():
            state.refused.pop(name, None)
            if each is None or not state.subscription.covers(name):
                state.held.pop(name, None)
            else:
                state.held[name] = each

    # ---- responses

    def _next(self, type_: ResourceType, state: _TypeState) -> Response | None:
        while state.suspects:
            items = self._sendable(type_, state, state.suspects.pop(0))
            if items:
                return self._send(type_, state, items)
        items = self._sendable(type_, state, state.pending)
        # A client that starts waits for an answer, even if there is nothing for it.
        empty = state.subscription.wildcard and not state.answered and not state.pending
        return self._send(type_, state, items) if items or empty else None

    def _sendable(
        self, type_: ResourceType, state: _TypeState, names: Iterable[str]
    ) -> dict[str, Resource | None]:
        """Of the names those whose time has come, with what to send; the others stay pending."""
        assert self._target is not None
        wanted = self._target.resources[type_]
        items: dict[str, Resource | None] = {}
        for name in sorted(names):
            each = wanted.get(name)
            if name in state.refused or not self._differs(state, name, each):
                state.pending.discard(name)
            elif self._may_go(Ref(type_, name), each):
                items[name] = each
            else:
                state.pending.add(name)
        return items

    def _differs(self, state: _TypeState, name: str, wanted: Resource | None) -> bool:
        held = state.held.get(name)
        if name in state.forced:
            return wanted is not None or self._incremental
        return held is not None if wanted is None else not held or held.version != wanted.version

    def _may_go(self, ref: Ref, wanted: Resource | None) -> bool:
        if wanted is None:
            return not self._is_used(ref)
        return all(self._is_settled(r) for r in wanted.references if r.type <= ref.type)

    def _is_settled(self, ref: Ref) -> bool:
        """The client has the present version, or refused it and has an older one."""
        state = self._types.get(ref.type)
        if state is None or ref.name not in state.held:
            return False
        return self.has(ref) or self.refusal(ref) is not None

    def _is_used(self, ref: Ref) -> bool:
        """Something that the client has, or is sent, refers to it, or may do so."""
        self._uses = self._uses or self._find_uses()
        unknown = self._uses.unknown.intersection(REFERRERS[ref.type])
        return bool(unknown) or ref in self._uses.refs

    def _find_uses(self) -> _Uses:
        refs: set[Ref] = set()
        unknown = set(ResourceType) - self._types.keys() - self.absent
        for type_, state in self._types.items():
            flying = state.flight.items.values() if state.flight else ()
            for each in (*state.held.values(), *flying):
                if each is not None:
                    refs.update(each.references)
                    unknown |= set() if each.body else {type_}
        scopes = self._types.get(ResourceType.SCOPE)
        if scopes and not scopes.held:
            unknown.discard(ResourceType.ROUTES)  # a client has no routes without scopes
        return _Uses(frozenset(refs), frozenset(unknown))

    def _send(
        self, type_: ResourceType, state: _TypeState, items: Mapping[str, Resource | None]
    ) -> Response:
        assert self._target is not None
        self._sent += 1
        state.nonce, state.answered = str(self._sent), True
        state.flight = _Flight(state.nonce, items)
        state.pending -= items.keys()
        state.forced -= items.keys()
        self._ask_again_for_endpoints(items)
        whole = items if self._incremental else {**state.held, **items}
        resources = tuple(whole[n] for n in sorted(whole))
        return Response(
            type_,
            state.nonce,
            "" if self._incremental else self._target.versions[type_],
            tuple(r for r in resources if r),
            tuple(sorted(n for n, r in items.items() if r is None)),
        )

    def _ask_again_for_endpoints(self, items: Mapping[str, Resource | None]) -> None:
        """Envoy drops a cluster's endpoints when the cluster changes, and does not ask again.

        Without them the new cluster stays unused for 15 s.
        """
        state = self._types.get(ResourceType.ENDPOINTS)
        if state is None:
            return
        children = {
            ref.name
            for each in items.values()
            if each and each.type is ResourceType.CLUSTER
            for ref in each.references
        }
        state.require(children & state.subscription.names)
