"""Build the optimized variants of a trained model, and serve one of them as a KServe predictor."""

import os
import sys

# Both engines report their use to their makers when they are imported. Beside the privacy, OpenVINO's reporter forks
# a child and ends it by SIGTERM where nothing answers, and a server takes that signal for its own end.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
