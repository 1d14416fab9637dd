"""A second house with the same core and no door: recorded and generated days in virtual time.

``day.py`` holds the words, ``workload.py`` and ``formats/`` make days, ``world.py`` lives through them, ``meter.py`` and
``auditor.py`` watch, ``report.py`` tells. ``run.py`` is the way in. Nothing here opens a socket or reads a clock, but for
the one measurement of how fast the run itself was.
"""
