"""The router to watch: started on its embedded default, with a small centre of real connections around it.

A demo is a replay of a generated day, with what a newcomer wants beside it: where the router is, how to try a contact by hand, and
agents who stay at their desks to answer it. See ``docs/demo.md``.
"""
