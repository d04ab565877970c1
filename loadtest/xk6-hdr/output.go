package hdr

import (
	"errors"
	"runtime/debug"

	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"
)

const (
	k6Module     = "go.k6.io/k6/v2"
	requestCount = "http_reqs"
)

var errNoFolder = errors.New("--out hdr needs a folder: --out hdr=FOLDER")

// fileOutput writes the recorder's results when the test is over. From k6's own metrics it takes only the number of
// requests that k6 counted, which must be the number recorded.
type fileOutput struct {
	folder   string
	recorder *recorder
	requests int
}

var _ output.Output = (*fileOutput)(nil)

func newOutput(params output.Params) (output.Output, error) {
	if params.ConfigArgument == "" {
		return nil, errNoFolder
	}
	r, err := sharedRecorder(params.Environment[shotVariable])
	if err != nil {
		return nil, err
	}
	return &fileOutput{folder: params.ConfigArgument, recorder: r}, nil
}

// Description is the line k6 prints.
func (o *fileOutput) Description() string { return "hdr (" + o.folder + ")" }

// Start has nothing to do: the run starts with the first next.
func (o *fileOutput) Start() error { return nil }

// AddMetricSamples counts the requests k6 saw.
func (o *fileOutput) AddMetricSamples(containers []metrics.SampleContainer) {
	for _, container := range containers {
		for _, sample := range container.GetSamples() {
			if sample.Metric.Name == requestCount {
				o.requests += int(sample.Value)
			}
		}
	}
}

// Stop writes the files.
func (o *fileOutput) Stop() error {
	samples, result := o.recorder.outcome()
	// gRPC's are counted where they leave: of those k6 knows nothing.
	result.HTTPRequests = o.requests + int(o.recorder.calls.count.Load())
	result.Version = k6Version()
	return writeOutcome(o.folder, samples, result, o.recorder.shot.timeout())
}

func k6Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == k6Module {
				return module.Version
			}
		}
	}
	return "unknown"
}
