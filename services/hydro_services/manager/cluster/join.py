"""How a manager joins those that share its mesh by Consul."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable
from functools import partial

from hydro.manager.v1 import manager_service_pb2 as pb
from hydro_services import registration, rpc
from hydro_services.consul.agents import connect_agents
from hydro_services.consul.registry import Registry
from hydro_services.manager.cluster import maintenance
from hydro_services.manager.cluster.changes import Changes
from hydro_services.manager.cluster.consul_executor import ConsulExecutor
from hydro_services.manager.cluster.coordination import Coordination
from hydro_services.manager.cluster.progress import Reporter
from hydro_services.manager.domain import transitions
from hydro_services.manager.domain.state import State
from hydro_services.manager.engine.reconciler import Reconciler
from hydro_services.manager.rollout.executor import Rollout

START_S = 5.0
"""How long to wait for Consul before what is known from the last time has to do."""
WARM_S = 10.0
"""How long a manager that starts may wait for runtimes to say what they have."""


@contextlib.asynccontextmanager
async def join_cluster(
    make: Callable[..., Reconciler],
    initial: State,
    registry: Registry,
    me: pb.Endpoint,
    limit_s: float,
) -> AsyncIterator[Rollout]:
    """Has all managers of the mesh carry out changes together, through Consul.

    Waits for Consul. If it does not answer in time, what survived here has to do, if anything did.
    """
    reconciler = make(initial, decides=False)
    async with connect_agents(registry) as agents:
        coordination = Coordination(agents, reconciler, me)
        executor = ConsulExecutor(coordination)
        running = asyncio.create_task(_run_tasks(coordination, executor, limit_s))
        begun = asyncio.create_task(coordination.wait_until_begun())
        try:
            # A manager that knows nothing would publish nothing, which takes from Envoys what they
            # have: it waits for Consul as long as it takes.
            has_copy = bool(initial.endpoints or initial.pipelines)
            # Both have to be watched: a record of a newer version ends `running` with an error, and
            # this manager then must not begin with what it can read of them.
            while not begun.done() and not (has_copy and agents.is_away):
                await asyncio.wait([running, begun], timeout=START_S, return_when=FIRST_COMPLETED)
                if running.done():  # by an error, such as records of a newer version
                    running.result()
            registered = partial(_register_manager, reconciler, registry, me)
            yield Rollout(reconciler, executor, registered, lambda: running)
        finally:
            for task in (running, begun):
                task.cancel()
            await asyncio.wait([running, begun])


async def _run_tasks(coordination: Coordination, executor: ConsulExecutor, limit_s: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        for task in (
            coordination.discovery.run(),
            coordination.follow_records(),
            coordination.follow_reports(),
            Reporter(coordination).run(),
            maintenance.end_abandoned_changes(coordination),
            maintenance.ModelSwaps(coordination).run(),
            Changes(coordination, executor, limit_s).run(),
        ):
            tasks.create_task(task)


@contextlib.asynccontextmanager
async def _register_manager(
    reconciler: Reconciler, registry: Registry, me: pb.Endpoint, served: rpc.RunningServer
) -> AsyncIterator[None]:
    """Registers once there is something to publish: earlier, others would wait for it in vain."""
    # Health first, registration last: load balancers and other managers find it when it is ready.
    await served.set_serving(False)
    # Runtimes that have not answered by then may be gone for good; the others are not to wait.
    warm = asyncio.get_running_loop().call_later(
        WARM_S, reconciler.post, transitions.allow_publication
    )
    await reconciler.until(lambda state: state.is_warm, None)
    warm.cancel()
    await served.set_serving(True)
    await served.answer_for(me.incarnation)
    me.address = str(served.address.reachable)
    async with registration.keep_registered(registry, me):
        yield
