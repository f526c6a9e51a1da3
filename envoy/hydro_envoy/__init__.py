"""The control plane: a mesh in, Envoy's resources out, over xDS. Knows Envoy, not our services.

One direction only; no layer looks back::

    Mesh --Builder.build--> Snapshot --Hub.publish--> Session --ADS--> Envoy
                                          ^---------- acks and nacks ----'

A control plane, in a process that has a `grpc.aio.Server` (all on one event loop)::

    builder = Builder(cache_dir)              # resources.py; a warm cache spares all building.
                                              # Cold, 5 ms a stage: build large meshes in a thread
    hub = Hub()                               # hub.py
    add_ads(server, hub)                      # server.py; before server.start()

    snapshot = builder.build(mesh)            # pure; raises MeshError
    for change in diff(hub.snapshot, snapshot):    # snapshot.py; what a plan shows
        change.type.url, change.name, change.action    # "add" | "change" | "remove"
        to_json(change.before), to_json(change.after)  # display.py
    hub.publish(snapshot)
    await hub.applied([pipeline_ref("p1")], timeout_s=5.0)   # also after a removal
    # returns when every connected Envoy (one at least) has taken the pipeline and all it needs;
    # raises Nacked (with Envoy's own words) or NotApplied (time is up; says who lacks what)
    await hub.applied(timeout_s=5.0)          # the same for the whole snapshot
    hub.nodes()                               # NodeStatus: connected Envoys, what they refused

A message descriptor for `Gateway.descriptor_set` and `Edge.descriptor_set`::

    descriptor_set([prediction_service_pb2.DESCRIPTOR])      # descriptors.py

An Envoy process::

    binary = await find_envoy()               # process.py; EnvoyNotFound, EnvoyTooOld
    wanted = Bootstrap(node_id="gateway", role="gateway", ads=Address("127.0.0.1", 8082))
    async with Envoy(binary, wanted, folder) as envoy:       # started; logs come into `logging`
        await envoy.ready(timeout_s=10.0)     # it has its listeners; EnvoyFailed if it died
        envoy.admin, envoy.pid                # Address of the admin API; the process
        await envoy.wait()                    # exit code; returns when it dies
    # leaving drains (asks clients to go, lets calls end) and stops it; it dies with its parent;
    # start(), drain() and stop() may be called one by one as well

Modules: `mesh` (input), `resources` (the builder), `clusters`, `routes`, `front`, `limits`,
`body_size_limit`, `retries`, `listeners`, `filters`, `replies` (pure: mesh to resources), `cache`
(what was built before), `descriptors`, `snapshot`, `display`, `subscription` and `session` (the
xDS protocol without I/O), `hub`, `server` (the one that imports grpc), `bootstrap`, `process`,
`errors`. Headers that a stage receives: `routes`. What policies do: `front`. What clients get when
Envoy itself answers: `replies`.
"""
