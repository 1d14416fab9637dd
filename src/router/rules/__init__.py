"""Business rules: policy documents read and checked, facts typed, contacts classified. Pure: text and data in, data out.

``document.py`` is the way in for text, ``check.py`` says what does not fit together, ``advice.py`` what is odd but allowed,
``facts.py`` keeps undeclared attributes out, ``entry.py`` classifies, ``diff.py`` compares. Nothing here opens a file.
"""
