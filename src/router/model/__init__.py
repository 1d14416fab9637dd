"""Data types of the router: frozen structs and enumerations without behaviour.

A command asks for a change, an event records a change that has happened, a refusal says why a command changed nothing.
``commands.py`` and the ``events`` package together list everything that the router can do. The package imports nothing
else of the router.
"""
