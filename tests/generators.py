"""Programs in the generators' places, which send nothing: `tests.loads.program` writes them. Test input only."""

__all__ = ["PLAYS", "VEGETA"]

# Takes its arrivals as the extension does, and says that each was answered after 10 ms; with SERVICE_MS, that one
# server worked so long on each arrival of all runners.
PLAYS = """
import json, os, pathlib, shutil, struct, sys
shot = json.load(open(os.environ["LOADTEST_SHOT"]))
source = pathlib.Path(os.environ["LOADTEST_SHOT"]).parent
folder = pathlib.Path(next(word for word in sys.argv if word.startswith("hdr="))[4:])
keep = os.environ.get("KEEP")
if keep:
    shutil.copytree(source, f"{keep}/{shot['runner']}")
    pathlib.Path(keep, f"{shot['runner']}", "argv").write_text(" ".join(sys.argv))
if shot["schedule"]:
    data = (source / shot["schedule"]).read_bytes()
    times = [v[0] for v in struct.iter_unpack("<q", data[16:])]
    mine = [(n, t) for n, t in enumerate(times) if n % shot["runners"] == shot["runner"]]
else:
    mine = [(n, n * 1000) for n in range(shot["requests"])]
ends = {n: t + 10100000 for n, t in mine}
if "SERVICE_MS" in os.environ:
    done = 0
    for n, t in enumerate(times):
        done = ends[n] = max(done, t) + int(float(os.environ["SERVICE_MS"]) * 1e6)
rows = b"".join(struct.pack("<qqqqi?xH", n, t, t + 100000, ends[n], 200, True, 0) for n, t in mine)
(folder / "samples.bin").write_bytes(b"PODSAMP1" + struct.pack("<Q", len(mine)) + rows)
result = {"schema": "podium.dev/generator/v1", "kind": shot["kind"], "runner": shot["runner"],
    "runners": shot["runners"], "planned": len(mine), "sent": len(mine), "answered": len(mine), "cut": 0,
    "unsent": 0, "dropped": 1, "stopped": os.environ.get("STOPPED", ""), "started": "2026-01-02T03:04:05Z",
    "started_unix_ns": 1000 + shot["runner"], "seconds": 2.5, "http_requests": len(mine), "version": "v2.2.0"}
result.update(json.loads(os.environ.get("RESULT", "{}")))
(folder / "result.json").write_text(json.dumps(result))
"""
# Stands in vegeta's place: notes the number of requests, and answers all of them after 5 ms.
VEGETA = """
import pathlib, sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[2:] if "=" in word)
if sys.argv[1] == "--version":
    print("Version: v12.13.0")
elif sys.argv[1] == "attack":
    count = len(pathlib.Path(words["targets"]).read_text().splitlines())
    pathlib.Path(words["output"]).write_text(str(count))
else:
    rows = []
    for n in range(int(pathlib.Path(sys.argv[-1]).read_text())):
        rows.append(f"{1_700_000_000_000_000_000 + n * 25_000_000},200,5000000,10,20,,,,{n},POST,http://x,")
    pathlib.Path(sys.argv[5]).write_text("".join(row + "\\n" for row in rows))
"""
