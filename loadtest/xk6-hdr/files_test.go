package hdr

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func someSamples() []Sample {
	return []Sample{
		{N: 0, Intended: 5 * ms, Start: 6 * ms, End: 30 * ms, Status: 200, OK: true},
		{N: 1, Intended: 900 * ms, Start: 900 * ms, End: 1200 * ms, Status: 503},
		{N: 2, Intended: 1500 * ms, Start: 1600 * ms, End: 1700 * ms, Status: 200},
		{N: 3, Intended: 1700 * ms, Start: 1800 * ms, End: 1800 * ms, Status: notSent},
		{N: 4, Intended: 3100 * ms, Start: 3100 * ms, End: 99_000 * ms, Status: 200, OK: true},
	}
}

func readLog(t *testing.T, path string) map[string]*hdrhistogram.Histogram {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	reader := hdrhistogram.NewHistogramLogReader(file)
	totals := map[string]*hdrhistogram.Histogram{}
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			return totals
		}
		if totals[h.Tag()] == nil {
			totals[h.Tag()] = hdrhistogram.New(lowestMicros, highestMicros, digits)
		}
		if dropped := totals[h.Tag()].Merge(h); dropped != 0 {
			t.Fatalf("%d values do not fit", dropped)
		}
	}
}

func TestTheLogReadsBackWithMissesAtTheTimeOut(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "out")
	result := Result{Schema: resultSchema, StartedUnixNS: 1_700_000_000_123_456_789}
	if err := writeOutcome(folder, someSamples(), result, 500*ms); err != nil {
		t.Fatal(err)
	}
	totals := readLog(t, filepath.Join(folder, "intervals.hdr"))
	want := map[string][]int64{
		"intended": {25_000, 500_000, 500_000, 500_000, 60_000_000},
		"actual":   {24_000, 500_000, 500_000, 500_000, 60_000_000},
		"lateness": {1_000, 0, 100_000, 100_000, 0},
	}
	for tag, values := range want {
		expected := hdrhistogram.New(lowestMicros, highestMicros, digits)
		for _, value := range values {
			if err := expected.RecordValue(value); err != nil {
				t.Fatal(err)
			}
		}
		if !totals[tag].Equals(expected) {
			t.Errorf("%s: %v, not %v", tag, totals[tag].Distribution(), values)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "intervals.hdr"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "#[StartTime: 1700000000.123 ") {
		t.Errorf("no start time in %.200s", text)
	}
	for _, begin := range []string{"Tag=intended,0.000,1.000,", "Tag=actual,1.000,1.000,", "Tag=lateness,3.000,1.000,"} {
		if strings.Count(string(text), begin) != 1 {
			t.Errorf("%d intervals begin with %s", strings.Count(string(text), begin), begin)
		}
	}
}

func TestTwoRunnersLogsMergedEqualTheLogOfAll(t *testing.T) {
	all := someSamples()
	var parts [2][]Sample
	for _, s := range all {
		parts[s.N%2] = append(parts[s.N%2], s)
	}
	folder := t.TempDir()
	write := func(name string, samples []Sample) map[string]*hdrhistogram.Histogram {
		if err := writeOutcome(filepath.Join(folder, name), samples, Result{}, 500*ms); err != nil {
			t.Fatal(err)
		}
		return readLog(t, filepath.Join(folder, name, "intervals.hdr"))
	}
	whole, even, odd := write("all", all), write("even", parts[0]), write("odd", parts[1])
	for tag := range whole {
		even[tag].Merge(odd[tag])
		if !even[tag].Equals(whole[tag]) {
			t.Errorf("%s differs", tag)
		}
	}
}

func TestTheSampleFileHoldsEveryFieldInOrder(t *testing.T) {
	data := encodeSamples(someSamples())
	if string(data[:8]) != samplesMagic || binary.LittleEndian.Uint64(data[8:]) != 5 || len(data) != 16+5*sampleBytes {
		t.Fatalf("header %q", data[:16])
	}
	row := data[16+3*sampleBytes:]
	for i, want := range []int64{3, 1700 * ms, 1800 * ms, 1800 * ms} {
		if got := int64(binary.LittleEndian.Uint64(row[8*i:])); got != want {
			t.Errorf("field %d is %d, not %d", i, got, want)
		}
	}
	if status := int32(binary.LittleEndian.Uint32(row[32:])); status != notSent {
		t.Errorf("status %d", status)
	}
	if data[16+36] != 1 || row[36] != 0 {
		t.Error("the flag of a right answer is elsewhere")
	}
}

func TestTheResultAppearsLastAndNoDraftStays(t *testing.T) {
	folder := t.TempDir()
	if err := writeOutcome(folder, nil, Result{Schema: resultSchema, Sent: 3}, ms); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	var result Result
	if err := json.Unmarshal(text, &result); err != nil || result.Sent != 3 {
		t.Errorf("%v: %s", err, text)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v: %v", err, entries)
	}
	// A folder in the place of the log: the samples are there, the result is not.
	other := t.TempDir()
	if err := os.MkdirAll(filepath.Join(other, "intervals.hdr", "x"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := writeOutcome(other, nil, Result{}, ms); err == nil {
		t.Error("a log was written over a folder")
	}
	if _, err := os.Stat(filepath.Join(other, "result.json")); err == nil {
		t.Error("a result without its log")
	}
	drafts, _ := filepath.Glob(filepath.Join(other, ".draft-*"))
	if len(drafts) != 0 {
		t.Errorf("drafts stay: %v", drafts)
	}
}
