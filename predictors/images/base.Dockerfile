# What every image stands on: Python 3.11 of Debian bookworm with its libraries, no shell, no package manager, no compiler.
# UPSTREAM is a pinned image where a registry is in reach; without one build.py makes the same from Debian packages.
ARG UPSTREAM=gcr.io/distroless/python3-debian12@sha256:7d1042ce588ab97019fe95c24ffca7bc5a82ccdac572511d5e09bda4435c89c5
FROM ${UPSTREAM}
USER 0
# Byte code of the standard library: under a read-only root nobody could write it later, and each start would compile anew.
RUN ["/usr/bin/python3", "-c", "import compileall, py_compile, sysconfig; compileall.compile_dir(sysconfig.get_path('stdlib'), quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"]
