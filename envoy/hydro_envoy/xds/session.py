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

from hydro_envoy.snapshot import Ref, Resource, ResourceType, Snapshot
from hydro_envoy.xds.messages import RefusedVersion, Request, Response
from hydro_envoy.xds.references import References, find_references
from hydro_envoy.xds.type_state import PendingResponse, TypeState


class XdsSession:
    """The state of one stream."""

    def __init__(self, *, incremental: bool) -> None:
        self._incremental = incremental
        self._target: Snapshot | None = None
        self._types: dict[ResourceType, TypeState] = {}
        self.absent: frozenset[ResourceType] = frozenset()
        """Types of which the client never has anything."""
        self._sent = 0
        self._references: References | None = None
        """As of the present poll, when asked for."""

    # ---- what happens

    def publish(self, snapshot: Snapshot) -> None:
        """What the client is to have from now on. Nothing is sent before the first one."""
        # The difference to the last target, not to what the client has: a publication costs what
        # changed, and a mesh of thousands of pipelines is published for each of them.
        old, self._target = self._target or Snapshot(), snapshot
        for type_, state in self._types.items():
            before, after = old.resources[type_], snapshot.resources[type_]
            # By identity: snapshots share the objects of what did not change. What is equal in
            # another object is sorted out by `_ready_items`, which compares versions.
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
        state = self._types.setdefault(request.type, TypeState())
        # The answer first: what was taken or refused decides what the subscription still lacks.
        if state.awaiting_ack and request.nonce == state.awaiting_ack.nonce:
            self._take_answer(state, state.awaiting_ack, request.error)
        elif not self._incremental and request.nonce != state.nonce and not first:
            return
        if self._incremental:
            self._change_subscription(state, request, first)
        else:
            self._replace_subscription(state, request, first)

    def poll(self) -> list[Response]:
        """What to send now, in this order; it counts as sent."""
        if self._target is None:
            return []
        # References are found once a poll: what it sends refers to nothing that the target lacks.
        self._references = None
        # In the order of ResourceType: clusters leave before what routes to them.
        known = [(t, self._types[t]) for t in ResourceType if t in self._types]
        responses = [
            self._next_response(t, state) for t, state in known if state.awaiting_ack is None
        ]
        return [response for response in responses if response]

    # ---- what is known

    def has(self, ref: Ref) -> bool:
        """The client has acknowledged the present version, or the removal."""
        if self._target is None:
            return False
        state, wanted = self._types.get(ref.type), self._target.get(ref)
        if state is None:
            return wanted is None
        if wanted is None:
            # What is under way was sent before it was to go: the client is about to have it.
            in_flight = state.awaiting_ack and state.awaiting_ack.items.get(ref.name)
            return ref.name not in state.held and not in_flight
        held = state.held.get(ref.name)
        return held is not None and held.version == wanted.version

    def refusal(self, ref: Ref) -> RefusedVersion | None:
        """What the client said against the present version, if it refused it."""
        state = self._types.get(ref.type)
        return state.refused.get(ref.name) if state else None

    def refusals(self) -> list[tuple[Ref, RefusedVersion]]:
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

    def held_resources(self) -> dict[ResourceType, dict[str, Resource]]:
        """What the client has acknowledged, by type and name."""
        return {type_: dict(state.held) for type_, state in self._types.items()}

    def wanted_resources(self) -> Mapping[ResourceType, Mapping[str, Resource]]:
        """What it should have, by type and name."""
        return (self._target or Snapshot()).resources

    def missing_refs(self) -> list[Ref]:
        """What of the target the client has not acknowledged, or not removed; sorted."""
        if self._target is None:
            return []
        missing = []
        for type_, table in self._target.resources.items():
            state = self._types.get(type_, TypeState())
            if type_ is ResourceType.SECRET:  # asked for when the first cluster needs one
                table = {n: r for n, r in table.items() if state.subscription.covers(n)}
            held = state.held
            missing += [
                Ref(type_, n)
                for n, r in table.items()
                if n not in held or held[n].version != r.version
            ]
            missing += [Ref(type_, n) for n in sorted(held.keys() - table.keys())]
        return missing

    # ---- requests

    def _change_subscription(self, state: TypeState, request: Request, first: bool) -> None:
        state.subscription.change(request.subscribe, request.unsubscribe)
        self._forget_uncovered(state, request.unsubscribe)
        if first:
            state.held = {
                name: self._from_earlier_stream(Ref(request.type, name), version)
                for name, version in request.initial_versions.items()
                if state.subscription.covers(name)
            }
            # The client keeps over a reconnect what it had, and says which versions: only what
            # differs from them is sent. What it has and the target lacks is removed.
            state.pending |= state.held.keys() | self._covered_names(request.type)
        # "the server must send the resource even if it believes that the client has it"
        # Envoy asks again when it lost something, such as the endpoints of a cluster that it made
        # anew.
        state.require(set(request.subscribe) - request.initial_versions.keys() - {"*"})
        if "*" in request.subscribe:
            state.pending |= self._covered_names(request.type)

    def _replace_subscription(self, state: TypeState, request: Request, first: bool) -> None:
        # State of the world lists all names each time: only those that are new in the list are
        # asked for.
        before = set(state.subscription.names)
        state.subscription.replace(request.names)
        self._forget_uncovered(state, before | state.held.keys())
        state.require(state.subscription.names - before)
        state.pending |= self._covered_names(request.type) - state.held.keys()

    def _forget_uncovered(self, state: TypeState, names: Iterable[str]) -> None:
        for name in [n for n in names if not state.subscription.covers(n)]:
            state.held.pop(name, None)
            state.refused.pop(name, None)
            state.pending.discard(name)
            state.forced.discard(name)

    def _covered_names(self, type_: ResourceType) -> set[str]:
        """What exists of what is subscribed to."""
        table = self._target.resources[type_] if self._target else {}
        subscription = self._types[type_].subscription
        return set(table) if subscription.wildcard else table.keys() & subscription.names

    def _from_earlier_stream(self, ref: Ref, version: str) -> Resource:
        """What the client has from an earlier stream; without a body where we do not know it."""
        # The version is a hash of the content: the same version is the same resource, references
        # included, whichever manager sent it. So a manager that restarts sends nothing twice.
        present = self._target.get(ref) if self._target else None
        if present and present.version == version:
            return present
        return Resource(ref.type, ref.name, version, b"")

    # ---- answers

    def _take_answer(self, state: TypeState, response: PendingResponse, error: str | None) -> None:
        state.awaiting_ack = None
        if error is None:
            self._accept(state, response)
        # A NACK names no resource. The halves go before what is suspect already, so that there are
        # never more parts than the logarithm of what was sent.
        elif self._incremental and len(response.items) > 1:
            names = sorted(response.items)
            half = len(names) // 2
            # The incremental variant refuses a response as a whole. Halving finds the one at fault
            # in a number of responses that grows with the logarithm, and the others are taken.
            state.suspects[:0] = [frozenset(names[:half]), frozenset(names[half:])]
        elif response.items.keys() & state.pending or (state.pending and not self._incremental):
            state.pending |= response.items.keys()  # what was refused is not what is wanted now
        else:
            # Noted with the version: the same content is not sent again, other content of that name
            # is.
            versions = {name: each.version if each else "" for name, each in response.items.items()}
            state.refused |= {name: RefusedVersion(v, error) for name, v in versions.items()}

    def _accept(self, state: TypeState, response: PendingResponse) -> None:
        for name, each in response.items.items():
            state.refused.pop(name, None)
            # It may have unsubscribed while the response was under way.
            if each is None or not state.subscription.covers(name):
                state.held.pop(name, None)
            else:
                state.held[name] = each

    # ---- responses

    def _next_response(self, type_: ResourceType, state: TypeState) -> Response | None:
        # Suspects before all else: what is pending waits until the one at fault is known.
        # A half may be empty by now: the snapshot has changed meanwhile, or the client lost
        # interest.
        while state.suspects:
            items = self._ready_items(type_, state, state.suspects.pop(0))
            if items:
                return self._respond(type_, state, items)
        items = self._ready_items(type_, state, state.pending)
        # A client that starts waits for an answer, even if there is nothing for it.
        empty = state.subscription.wildcard and not state.answered and not state.pending
        return self._respond(type_, state, items) if items or empty else None

    def _ready_items(
        self, type_: ResourceType, state: TypeState, names: Iterable[str]
    ) -> dict[str, Resource | None]:
        """Of the names those whose time has come, with what to send; the others stay pending."""
        assert self._target is not None
        wanted = self._target.resources[type_]
        items: dict[str, Resource | None] = {}
        # Sorted, so that the same state gives the same bytes in the same order, here and at other
        # managers.
        for name in sorted(names):
            each = wanted.get(name)
            if name in state.refused or not self._differs(state, name, each):
                state.pending.discard(name)
            # Make before break: what is referred to has to be acknowledged, not just sent. Envoy
            # handles the types of one stream in order, but a cluster or a listener is warm only
            # some time later.
            elif self._may_send(Ref(type_, name), each):
                items[name] = each
            else:
                state.pending.add(name)
        return items

    def _differs(self, state: TypeState, name: str, wanted: Resource | None) -> bool:
        held = state.held.get(name)
        if name in state.forced:
            return wanted is not None or self._incremental
        return held is not None if wanted is None else not held or held.version != wanted.version

    def _may_send(self, ref: Ref, wanted: Resource | None) -> bool:
        if wanted is None:
            # Break after make: the removal of a cluster is sent when no route that the client has,
            # or is being sent, leads to it.
            return not self._is_used(ref)
        # References to later types are asked for by the client, when it has this one: to wait for
        # those would be to wait for itself.
        return all(self._is_settled(r) for r in wanted.references if r.type <= ref.type)

    def _is_settled(self, ref: Ref) -> bool:
        """The client has the present version, or refused it and has an older one."""
        state = self._types.get(ref.type)
        if state is None or ref.name not in state.held:
            return False
        return self.has(ref) or self.refusal(ref) is not None

    def _is_used(self, ref: Ref) -> bool:
        """Something that the client has, or is sent, refers to it, or may do so."""
        self._references = self._references or find_references(self._types, self.absent)
        return self._references.is_maybe_referenced(ref)

    def _respond(
        self, type_: ResourceType, state: TypeState, items: Mapping[str, Resource | None]
    ) -> Response:
        assert self._target is not None
        # A nonce for each response of the stream, over all types: an answer names one response.
        self._sent += 1
        state.nonce, state.answered = str(self._sent), True
        # Before anything is written: the acknowledgement must not overtake the note of what it is
        # for.
        state.awaiting_ack = PendingResponse(state.nonce, items)
        state.pending -= items.keys()
        state.forced -= items.keys()
        self._ask_again_for_endpoints(items)
        # State of the world: a client drops the clusters and listeners that a response lacks, so
        # all that it has goes along.
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
