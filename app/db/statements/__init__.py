"""The statements of ``PostgresStore``, by table: SQL, its parameters and its rows in one place.

Each function returns one statement, which is one round trip. One that writes is ``Fenced``: it
proves that its run still holds the thread.
"""
