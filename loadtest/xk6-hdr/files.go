package hdr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

const (
	samplesMagic = "PODSAMP1"
	sampleBytes  = 40
	resultSchema = "podium.dev/generator/v1"

	stoppedOversaturated = "over-saturated"
	stoppedInterrupted   = "interrupted"
	stoppedOrphaned      = "orphaned"
)

// Result is what a generator process says about itself; result.json appears last, so its presence means all is there.
type Result struct {
	Schema        string  `json:"schema"`
	Kind          string  `json:"kind"`
	Runner        int     `json:"runner"`
	Runners       int     `json:"runners"`
	Planned       int     `json:"planned"`
	Sent          int     `json:"sent"`
	Answered      int     `json:"answered"`
	Cut           int     `json:"cut"`
	Unsent        int     `json:"unsent"`
	Dropped       int     `json:"dropped"`
	Stopped       string  `json:"stopped"`
	Started       string  `json:"started"`
	StartedUnixNS int64   `json:"started_unix_ns"`
	Seconds       float64 `json:"seconds"`
	HTTPRequests  int     `json:"http_requests"`
	Version       string  `json:"version"`
}

// encodeSamples makes the sample file: a magic word, a count, and 40 bytes a request, little-endian; the last two are
// for the number of a block, which this side does not know. Its reader is loadtest/samples.py.
func encodeSamples(samples []Sample) []byte {
	data := make([]byte, 0, 16+sampleBytes*len(samples))
	data = append(data, samplesMagic...)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(samples)))
	for _, s := range samples {
		for _, number := range []int64{s.N, s.Intended, s.Start, s.End} {
			data = binary.LittleEndian.AppendUint64(data, uint64(number)) //nolint:gosec // two's complement on purpose
		}
		data = binary.LittleEndian.AppendUint32(data, uint32(s.Status)) //nolint:gosec // two's complement on purpose
		ok := byte(0)
		if s.OK {
			ok = 1
		}
		data = append(data, ok, byte(s.Ending), 0, 0)
	}
	return data
}

// writeOutcome leaves samples.bin, intervals.hdr and, last, result.json in the folder.
func writeOutcome(folder string, samples []Sample, result Result, timeout int64) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // results are for everybody
		return fmt.Errorf("the result folder: %w", err)
	}
	var log bytes.Buffer
	if err := writeLog(&log, samples, timeout, result.StartedUnixNS); err != nil {
		return fmt.Errorf("the histogram log: %w", err)
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
	}{
		{"samples.bin", encodeSamples(samples)}, {"intervals.hdr", log.Bytes()}, {"result.json", append(text, '\n')},
	}
	for _, file := range files {
		if err := writeAtomically(filepath.Join(folder, file.name), file.data); err != nil {
			return err
		}
	}
	return nil
}

func writeAtomically(path string, data []byte) error {
	draft, err := os.CreateTemp(filepath.Dir(path), ".draft-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	if _, err := draft.Write(data); err != nil {
		_ = draft.Close()
		return err
	}
	if err := draft.Sync(); err != nil {
		_ = draft.Close()
		return err
	}
	if err := draft.Close(); err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}
