package hdr

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// The cases were computed by loadtest/oversaturation.py from simulated queues.
func TestTheStopRuleAgreesWithItsReference(t *testing.T) {
	text, err := os.ReadFile("testdata/oversaturation.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name   string     `json:"name"`
		Points [][3]int64 `json:"points"`
		StopMS *int64     `json:"stop_ms"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		var w watch
		var stopped *int64
		for _, row := range c.Points {
			p := point{at: row[0] * int64(time.Millisecond), inFlight: float64(row[1]), latency: float64(row[2]) * 1000}
			if w.add(p) && stopped == nil {
				at := row[0]
				stopped = &at
			}
		}
		switch {
		case stopped == nil && c.StopMS == nil:
		case stopped == nil || c.StopMS == nil || *stopped != *c.StopMS:
			t.Errorf("%s: stopped at %v ms, the reference at %v ms", c.Name, show(stopped), show(c.StopMS))
		}
	}
}

func show(number *int64) any {
	if number == nil {
		return "never"
	}
	return *number
}

func TestNothingIsOverSaturatedWithoutPoints(t *testing.T) {
	if oversaturated(nil) {
		t.Error("no points are over-saturated")
	}
	if slope([]point{{at: 5, inFlight: 3}}, func(p point) float64 { return p.inFlight }) != 0 {
		t.Error("one point has a slope")
	}
	late := []point{{at: 5 * int64(time.Second), inFlight: 3}}
	if floorOf(late) != leastInFlight {
		t.Error("without a first second the floor is not the least one")
	}
}
