"""Policies: parsing and checking of documents, rule expressions, entry rules, facts and calendars.

``document`` converts text to a policy, ``checks`` finds inconsistencies and gives advice, ``entry_rules`` chooses queues,
``facts`` validates attributes, ``calendar`` computes opening hours, ``diff`` compares policies. The package is pure: it opens
no file and reads no clock.
"""
