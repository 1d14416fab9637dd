"""Demonstration: the router with its default settings and a small generated contact centre on real connections.

A demo is a load test with a generated day. Afterwards it prints how to submit a contact by hand, and the simulated agents stay
connected to answer it. See ``docs/tutorial/demo.md``.
"""
