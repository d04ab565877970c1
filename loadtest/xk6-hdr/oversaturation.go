package hdr

import "time"

// The rule that loadtest/oversaturation.py states as well; testdata/oversaturation.json holds both to it.
const (
	observeEvery  = int64(100 * time.Millisecond)
	evaluateEvery = int64(500 * time.Millisecond)
	windowLength  = int64(3 * time.Second)
	earliestStop  = int64(2 * time.Second)
	firstSecond   = int64(time.Second)
	leastInFlight = 8.0
	overFirst     = 4.0
	leastGrowth   = 1.5
	inSuccession  = 3
)

// point is one look at the run: latency is the mean over what was answered since the last look and the age so far
// of everything unanswered.
type point struct {
	at       int64
	inFlight float64
	latency  float64
}

// watch keeps the points of a run and says when the server has fallen behind for good.
type watch struct {
	points    []point
	evaluated int64
	held      int
}

// add takes the next point and reports whether the run is over-saturated: the rule held at three looks in succession,
// one every 500 ms. Points come from a ticker, so a look may be due half a point early.
func (w *watch) add(p point) bool {
	w.points = append(w.points, p)
	if p.at-w.evaluated < evaluateEvery-observeEvery/2 {
		return false
	}
	w.evaluated = p.at
	if !oversaturated(w.points) {
		w.held = 0
		return false
	}
	w.held++
	return w.held == inSuccession
}

// oversaturated says whether in-flight and latency both rise over the last window, well above the first second.
func oversaturated(points []point) bool {
	if len(points) == 0 {
		return false
	}
	last := points[len(points)-1]
	if last.at < earliestStop || last.inFlight < floorOf(points) {
		return false
	}
	window := points
	for window[0].at < last.at-windowLength {
		window = window[1:]
	}
	if last.inFlight < leastGrowth*window[0].inFlight {
		return false
	}
	return slope(window, func(p point) float64 { return p.inFlight }) > 0 &&
		slope(window, func(p point) float64 { return p.latency }) > 0
}

func floorOf(points []point) float64 {
	sum, count := 0.0, 0
	for _, p := range points {
		if p.at >= firstSecond {
			break
		}
		sum += p.inFlight
		count++
	}
	if count == 0 {
		return leastInFlight
	}
	return max(leastInFlight, overFirst*sum/float64(count))
}

// slope is the least-squares slope per nanosecond, 0 for fewer than two points.
func slope(points []point, value func(point) float64) float64 {
	count := float64(len(points))
	var meanAt, mean float64
	for _, p := range points {
		meanAt += float64(p.at) / count
		mean += value(p) / count
	}
	var covariance, variance float64
	for _, p := range points {
		away := float64(p.at) - meanAt
		covariance += away * (value(p) - mean)
		variance += away * away
	}
	if variance == 0 {
		return 0
	}
	return covariance / variance
}
