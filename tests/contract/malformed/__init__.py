"""The thousand malformed inputs: one generator, one seed, kinds and counts fixed.

Every case says which answers are right. `CUT` stands for a connection that was closed without one, which is
right where the message itself was cut, or where the server refuses before it has read all that was sent.
"""

__all__: list[str] = []
