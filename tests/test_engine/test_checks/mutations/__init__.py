"""Single mistakes in the config of a run, each with what is said of it.

Every mistake is made alone in a config that trains. ``table.py`` turns the
lists of the other modules, one for each subject, into mutations.
"""
