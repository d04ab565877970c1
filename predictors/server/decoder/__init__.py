"""Images are decoded in a process of their own, because decoders are written in C and read what anybody sends.

The server looks at an image's first bytes, hands it over in shared memory and gets pixels of a fixed shape back; it
does the arithmetic on them itself, so that nothing but numbers from 0 to 255 comes out of there. What a decoder can do
that crashes, hangs, asks for all memory or was taken over ends with that process: it may open, make and reach nothing,
and is replaced.
"""

__all__: list[str] = []
