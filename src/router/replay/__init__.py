"""A day through real sockets: one gateway, one desktop per agent, a supervisor who watches, and the books checked afterwards.

The router that is replayed against is a process of its own, started for the replay or running already. What the day is (contacts,
agents, shifts) comes from the simulator's readers, what the figures mean from its report, so both can be laid side by side.
Nothing here routes: this room only plays the people. How to use it: ``docs/replay.md``.
"""
