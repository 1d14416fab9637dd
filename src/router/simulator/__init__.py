"""Simulator: recorded and generated days, run through the production engine in virtual time.

* ``day`` defines the plan of a day: contacts, agents, shifts. ``workload`` draws one from a document, ``formats`` reads a log.
* ``simulation`` and ``behaviour`` run the plan against an engine; ``run`` is the entry point, ``what_if`` compares policies.
* ``results`` counts what happened and builds reports, comparisons and charts.
* ``audit`` checks every run with a second implementation of the routing rules.

No module opens a socket or reads a clock, except the one measurement of how long the run itself took.
"""
