package hdr

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/grafana/sobek"

	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"
)

// shotVariable names the environment variable with the path of the shot file.
const shotVariable = "LOADTEST_SHOT"

var errNoShot = errors.New(shotVariable + " does not name a shot file")

// shared is the one recorder of the process: k6 makes the module and the output apart, and runs one test.
var shared struct {
	sync.Mutex
	recorder *recorder
}

func sharedRecorder(path string) (*recorder, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.recorder != nil {
		return shared.recorder, nil
	}
	if path == "" {
		return nil, errNoShot
	}
	shot, err := LoadShot(path)
	if err != nil {
		return nil, err
	}
	shared.recorder = newRecorder(shot, func(zero time.Time) clock {
		return &wallClock{zero: zero, alarm: newAlarm()}
	})
	go shared.recorder.attend(os.Getppid())
	return shared.recorder, nil
}

// attend looks at the run every 100 ms, and ends it when it is over-saturated or nobody waits for its result.
func (r *recorder) attend(parent int) {
	ticker := time.NewTicker(time.Duration(observeEvery))
	defer ticker.Stop()
	for range ticker.C {
		if r.observe() && r.shot.StopWhenOversaturated {
			r.stop(stoppedOversaturated)
		}
		if os.Getppid() != parent {
			r.stop(stoppedOrphaned)
		}
	}
}

type rootModule struct{}

type instance struct {
	vu       modules.VU
	recorder *recorder
	user     *user
	caller   *caller
}

var _ modules.Module = rootModule{}

// NewModuleInstance makes the module for one user.
func (rootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	path, _ := vu.InitEnv().LookupEnv(shotVariable)
	r, err := sharedRecorder(path)
	if err != nil {
		common.Throw(vu.Runtime(), err)
	}
	return &instance{vu: vu, recorder: r, user: newUser()}
}

// Exports are the functions a script sees.
func (i *instance) Exports() modules.Exports {
	return modules.Exports{Named: map[string]any{
		"next": i.next, "pick": i.pick, "body": i.body, "done": i.done, "mark": i.mark,
		"headers": i.headers, "items": i.items, "call": i.call, "isRightAnswer": i.isRightAnswer, "failed": i.failed,
		"label": i.label, "holds": i.holds,
	}}
}

func (i *instance) next() int { return i.recorder.next(i.vu.Context(), i.user) }

// pick is the payload that request n carries.
func (i *instance) pick(n int) int { return i.recorder.shot.pick(n) }

// body is a payload's bytes, shared by all users: k6's open() would keep one copy for each of them.
func (i *instance) body(payload int) sobek.ArrayBuffer {
	return i.vu.Runtime().NewArrayBuffer(i.recorder.shot.payloads[payload].body)
}

// headers are those that a payload is sent with.
func (i *instance) headers(payload int) map[string]string {
	return i.recorder.shot.payloads[payload].Headers
}

// items is how many results a right answer to a payload holds.
func (i *instance) items(payload int) int { return i.recorder.shot.payloads[payload].Items }

// label is that of a payload's right answer, empty where none is known.
func (i *instance) label(payload int) string {
	if known := i.recorder.shot.payloads[payload].Answer; known != nil {
		return known.Label
	}
	return ""
}

// holds says whether so many bytes of an answer, FP32 scores from a byte on, are largest at a payload's right answer.
func (i *instance) holds(payload int, body sobek.ArrayBuffer, from, size int) bool {
	scores := body.Bytes()
	if from < 0 || size < 0 || from+size > len(scores) {
		return false
	}
	return holds(scores[from:from+size], i.recorder.shot.payloads[payload].Answer)
}

// call sends a payload over gRPC and returns the status as HTTP would name it, 0 where no answer came.
func (i *instance) call(payload int) int {
	shot := i.recorder.shot
	if i.caller == nil {
		made, err := newCaller(shot.URL, time.Duration(shot.timeout()), &i.recorder.calls)
		if err != nil {
			common.Throw(i.vu.Runtime(), err)
		}
		i.caller = made
	}
	return i.caller.call(i.vu.Context(), shot.payloads[payload].body, shot.payloads[payload].Headers)
}

// isRightAnswer checks the answer of the last call.
func (i *instance) isRightAnswer(payload int) bool {
	sent := i.recorder.shot.payloads[payload]
	return i.caller != nil && isRightAnswer(i.caller.answer, sent.Items, sent.Answer)
}

func (i *instance) done(status int) { i.recorder.done(i.user, int32(status)) } //nolint:gosec // HTTP codes

// failed says why the user's last request had no answer: k6's code and words for it over HTTP, the last call's over gRPC.
func (i *instance) failed(code int, words string) {
	why := endingOf(code, words)
	if i.caller != nil {
		why = i.caller.ending
	}
	i.recorder.failed(i.user, why)
}

func (i *instance) mark(ok bool) { i.recorder.mark(i.user, ok) }
