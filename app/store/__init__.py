"""The store: every SQL statement, and the database itself; the only place that knows psycopg."""
