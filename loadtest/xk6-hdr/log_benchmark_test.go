package hdr

import (
	"io"
	"math/rand/v2"
	"strconv"
	"testing"
)

// The cost of the histograms, beside which k6's own is measured: benchmarks/generator.py runs these.
func BenchmarkTheLog(b *testing.B) {
	const seconds = 10
	for _, rate := range []int{50, 200, 2000, 5000} {
		samples := make([]Sample, rate*seconds)
		chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a load, no secret
		for n := range samples {
			intended := int64(n) * 1000 * ms / int64(rate)
			start := intended + int64(chance.ExpFloat64()*float64(ms)/10)
			end := start + int64(chance.ExpFloat64()*10*float64(ms))
			samples[n] = Sample{N: int64(n), Intended: intended, Start: start, End: end, Status: 200, OK: true}
		}
		b.Run(strconv.Itoa(rate), func(b *testing.B) {
			for b.Loop() {
				if err := writeLog(io.Discard, samples, 2000*ms, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/request")
		})
	}
}
