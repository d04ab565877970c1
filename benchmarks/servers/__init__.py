"""Our server beside six others and the raw engine: the same model, the same client, in turn on the same cores.

`peers` says what each server is and how it is started, `programs` holds what a user of it writes, `client` asks, `raw`
is the engine without a server, `figures` makes ratios and the table of it, and `__main__` runs it all.
"""
