"""Our container images: one Dockerfile an image, and the builder that puts their contexts together.

Nothing here is needed at run time, and no other module imports it.
"""

__all__: list[str] = []
