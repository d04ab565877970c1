"""One module a model family: architecture, data, labels. Only `training` and `network()` need torch."""
