"""One module a transformation: source and recipe in, one artifact folder out."""
