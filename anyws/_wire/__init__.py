"""The hot loops: bytes and ints only, compiled where a compiler is at hand.

``scan.py`` and ``header.py`` are ordinary Python that Cython compiles with the types of the
``.pxd`` beside each; without a compiler the same files run as they are. ``mask.py`` is what they
call to mask when they run plain, ``mask.pxd`` holds the same functions in C for the compiled ones.
"""
