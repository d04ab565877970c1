"""The compiled protocol is that of the `.proto` files, and stands beside other libraries' messages of equal names."""

import subprocess
import sys

import pytest

from predictors.server.rpc import generate


def test_the_descriptors_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("grpc_tools")
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("other", ["kserve.protocol.grpc.grpc_predict_v2_pb2", "tritonclient.grpc.service_pb2"])
def test_messages_of_equal_names_do_not_clash(other: str) -> None:
    code = f"import importlib; importlib.import_module({other!r}); import predictors.server.rpc.messages"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
