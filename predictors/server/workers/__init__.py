"""Several server processes behind one set of ports: a parent that accepts, and workers with an engine each.

The kernel's own sharing (`SO_REUSEPORT`) puts a connection where a hash falls: eight of them are two on one of two
processes and six on the other as often as not, and a connection stays where it is. So the parent accepts, and hands
each connection to the worker that has the fewest; what is said on it never passes through the parent.
"""

__all__: list[str] = []
