"""Races from end to end: the program as people start it, a model of their own, real servers and generators."""
