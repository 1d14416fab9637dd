"""The words: frozen structs and enums, no behaviour but construction.

Commands are what the world asks, events are what has happened, refusals are facts that stand in the way.
Read ``commands.py`` and ``events.py`` and you know what the router can do. Nothing here imports anything of the house.
"""
