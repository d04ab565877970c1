"""A certificate authority of the cluster's own, and the certificate that KServe's webhooks show."""

import tempfile
from pathlib import Path

from k8s.airgap.shell import run

_DAYS = "3650"


def make(host: str) -> dict[str, str]:
    """Return `tls.crt`, `tls.key` and `ca.crt` in PEM for a server; the authority's key is thrown away.

    Raises:
        MachineError: openssl is missing or failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = ["-subj", "/CN=podium-kserve-ca", "-keyout", "ca.key", "-out", "ca.crt", "-days", _DAYS]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run(["openssl", "req", "-x509", *key, *authority], what="The webhooks' authority", cwd=folder)
        server = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},DNS:{host}.cluster.local"]
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
        files = ["-keyout", "tls.key", "-out", "tls.crt", "-days", _DAYS]
        run(["openssl", "req", "-x509", *key, *server, *signed, *files], what="The webhooks' certificate", cwd=folder)
        return {part: (folder / part).read_text() for part in ("tls.crt", "tls.key", "ca.crt")}
