"""The control plane: a mesh in, Envoy's resources out, over xDS. Knows Envoy, not our services.

One direction only; no layer looks back::

    Mesh --Builder.build--> Snapshot --Hub.publish--> XdsSession --ADS--> Envoy
                                          ^---------- acks and nacks ----'

A control plane, in a process that has a `grpc.aio.Server` (all on one event loop)::

    builder = Builder(cache_dir)              # resources/builder.py; a warm cache spares building.
                                              # Cold, 5 ms a stage: build large meshes in a thread
    hub = Hub()                               # xds/hub.py
    add_ads(server, hub)                      # xds/server.py; before server.start()

    snapshot = builder.build(mesh)            # pure; raises MeshError
    for change in diff(hub.snapshot, snapshot):    # snapshot.py; what a plan shows
        change.type.url, change.name, change.action    # "add" | "change" | "remove"
        to_json(change.before), to_json(change.after)  # resources/display.py
    hub.publish(snapshot)
    await hub.wait_applied([pipeline_ref("p1")], timeout_s=5.0)   # also after a removal
    # returns when every connected Envoy (one at least) has taken the pipeline and all it needs;
    # raises Nacked (with Envoy's own words) or NotApplied (time is up; says who lacks what)
    await hub.wait_applied(timeout_s=5.0)          # the same for the whole snapshot
    hub.nodes()                               # NodeStatus: connected Envoys, what they refused

A message descriptor for `Gateway.descriptor_set` and `ApiListener.descriptor_set`::

    descriptor_set([prediction_service_pb2.DESCRIPTOR])      # resources/descriptors.py

An Envoy process::

    binary = await find_envoy()               # proxy/find_envoy.py; EnvoyNotFound, EnvoyTooOld
    wanted = Bootstrap(node_id="gateway", role="gateway", ads=Address("127.0.0.1", 8082))
    async with Envoy(binary, wanted, folder) as envoy:       # started; logs come into `logging`
        await envoy.ready(timeout_s=10.0)     # it has its listeners; EnvoyFailed if it died
        envoy.admin, envoy.pid                # Address of the admin API; the process
        await envoy.wait()                    # exit code; returns when it dies
    # leaving drains (asks clients to go, lets calls end) and stops it; it dies with its parent;
    # start(), drain() and stop() may be called one by one as well

Packages: `resources` builds a mesh's resources (`builder`; `routes` has what stages are told,
`policy_route` what policies do, `local_replies` what clients get when Envoy itself answers); `xds`
brings them to Envoys (`subscription` and `session` are the protocol without I/O, `hub` has the
streams, `server` alone imports grpc); `proxy` runs Envoy. `headers` has the words that Envoy's
scripts and runtimes share with this package.
"""
