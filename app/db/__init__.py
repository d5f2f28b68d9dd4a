"""Postgres: connections, tables, migrations, and the store of threads.

Where SQL lives: what is about threads, items and what several parts share stands in this package;
what is about a table that one part owns stands in that part's ``repository.py`` (or
``…_repository.py``); nothing stands anywhere else.

A statement, its typed parameters and the ``NamedTuple`` of its rows stand side by side, as a
private constant and the one function that names its parameters.
"""
