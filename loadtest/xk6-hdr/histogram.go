package hdr

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lowestMicros  = 1
	highestMicros = 60_000_000
	digits        = 3
)

// series names the three clocks of a sample and gives its value on each, in nanoseconds. A miss is worth at least
// the time-out on the latency clocks.
var series = []struct {
	tag   string
	value func(s Sample, timeout int64) int64
}{
	{"actual", func(s Sample, timeout int64) int64 { return recorded(s, s.End-s.Start, timeout) }},
	{"intended", func(s Sample, timeout int64) int64 { return recorded(s, s.End-s.Intended, timeout) }},
	{"lateness", func(s Sample, _ int64) int64 { return s.Start - s.Intended }},
}

func recorded(s Sample, latency, timeout int64) int64 {
	if s.Status < 200 || s.Status > 299 || !s.OK {
		return max(latency, timeout)
	}
	return latency
}

func micros(nanoseconds int64) int64 { return min(max(nanoseconds, 0)/1000, highestMicros) }

// writeLog writes an HdrHistogram log, one interval a second of intended starts and tag, values in microseconds.
func writeLog(out io.Writer, samples []Sample, timeout, startedUnixNS int64) error {
	log := hdrhistogram.NewHistogramLogWriter(out)
	if err := log.OutputLogFormatVersion(); err != nil {
		return err
	}
	started := float64(startedUnixNS) / float64(time.Second)
	_, err := fmt.Fprintf(out, "#[StartTime: %.3f (seconds since epoch)]\n#[BaseTime: %.3f (seconds since epoch)]\n", started, started)
	if err != nil {
		return err
	}
	if err := log.OutputLegend(); err != nil {
		return err
	}
	for from := 0; from < len(samples); {
		second := samples[from].Intended / int64(time.Second)
		to := from
		for to < len(samples) && samples[to].Intended/int64(time.Second) == second {
			to++
		}
		if err := writeSecond(out, samples[from:to], timeout, second); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func writeSecond(out io.Writer, samples []Sample, timeout, second int64) error {
	for _, s := range series {
		histogram := hdrhistogram.New(lowestMicros, highestMicros, digits)
		for _, sample := range samples {
			if err := histogram.RecordValue(micros(s.value(sample, timeout))); err != nil {
				return err
			}
		}
		encoded, err := histogram.EncodeV2()
		if err != nil {
			return err
		}
		milliseconds := float64(histogram.Max()) / 1000
		_, err = fmt.Fprintf(out, "Tag=%s,%d.000,1.000,%.3f,%s\n", s.tag, second, milliseconds, encoded)
		if err != nil {
			return err
		}
	}
	return nil
}
