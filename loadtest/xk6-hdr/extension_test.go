package hdr

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"
)

func TestTheOutputNeedsAFolderAndAShot(t *testing.T) {
	shared.recorder = nil
	if _, err := newOutput(output.Params{}); !errors.Is(err, errNoFolder) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := newOutput(output.Params{ConfigArgument: "x"}); !errors.Is(err, errNoShot) {
		t.Errorf("without a shot: %v", err)
	}
	environment := map[string]string{shotVariable: filepath.Join(t.TempDir(), "nothing.json")}
	if _, err := newOutput(output.Params{ConfigArgument: "x", Environment: environment}); err == nil {
		t.Error("a shot that is missing was played")
	}
}

func TestModuleAndOutputShareOneRecorderAndTheOutputWrites(t *testing.T) {
	shared.recorder = nil
	path := shotFolder(t, map[string]any{"users": 1})
	folder := filepath.Join(t.TempDir(), "out")
	out, err := newOutput(output.Params{ConfigArgument: folder, Environment: map[string]string{shotVariable: path}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := sharedRecorder("")
	if err != nil {
		t.Fatal(err)
	}
	if out.(*fileOutput).recorder != r {
		t.Fatal("two recorders")
	}
	if err := out.Start(); err != nil || !strings.Contains(out.Description(), folder) {
		t.Errorf("%v: %s", err, out.Description())
	}
	i := &instance{recorder: r, user: newUser()}
	if i.pick(0) != 1 {
		t.Error("arrival 0 carries another payload")
	}
	if n := r.next(t.Context(), i.user); n != 0 {
		t.Fatalf("got %d", n)
	}
	i.done(200)
	i.mark(true)
	requests := &metrics.Metric{Name: requestCount}
	other := &metrics.Metric{Name: "http_req_duration"}
	out.AddMetricSamples([]metrics.SampleContainer{metrics.Samples{
		{TimeSeries: metrics.TimeSeries{Metric: requests}, Value: 1, Time: time.Now()},
		{TimeSeries: metrics.TimeSeries{Metric: other}, Value: 7, Time: time.Now()},
	}})
	if err := out.Stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"http_requests": 1`) || !strings.Contains(string(text), `"answered": 1`) {
		t.Errorf("result %s", text)
	}
}

func TestTheExportsAreWhatScriptsImport(t *testing.T) {
	exports := (&instance{}).Exports().Named
	for _, name := range []string{
		"next", "pick", "body", "done", "mark", "headers", "items", "call", "isRightAnswer", "failed", "label", "holds",
	} {
		if exports[name] == nil {
			t.Errorf("%s is not exported", name)
		}
	}
	if len(exports) != 12 {
		t.Errorf("exports %v", exports)
	}
}

func TestARunWhoseParentIsGoneEnds(t *testing.T) {
	shot := openShot(1, 0, int64(time.Hour))
	shot.Runners, shot.TimeoutS = 1, 1
	r := newRecorder(shot, func(zero time.Time) clock { return &wallClock{zero: zero, alarm: newAlarm()} })
	u := newUser()
	r.next(t.Context(), u)
	go r.attend(-1)
	r.done(u, 200)
	if n := r.next(t.Context(), u); n != over {
		t.Fatalf("got %d", n)
	}
	if n := r.next(t.Context(), newUser()); n != over {
		t.Fatalf("a user that comes later got %d", n)
	}
	if _, result := r.outcome(); result.Stopped != stoppedOrphaned {
		t.Errorf("result %+v", result)
	}
}
