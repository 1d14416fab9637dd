"""Load test: run a recorded or generated day through a router over real sockets, and check its event history afterwards.

The load consists of one gateway connection, one desktop connection per agent and one supervisor connection. The router is a
separate process, started for the load test or already running. The day (contacts, agents, shifts) comes from the simulator's
readers and the report has the simulator's definitions, so that the results of both are comparable. This package contains no
routing logic; it only drives the clients. See ``docs/how-to/loadtest.md`` for usage.
"""
