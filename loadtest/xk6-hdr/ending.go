package hdr

import "strings"

// ending is why a request had no answer. Its reader is loadtest/samples.py.
type ending byte

const (
	endedUnknown ending = iota
	endedTimedOut
	endedRefused
	endedReset
)

// Of k6's codes (https://grafana.com/docs/k6, error codes) those of connections; the others stay unknown.
var endings = map[int]ending{
	1050: endedTimedOut, 1211: endedTimedOut, 1212: endedRefused, 1201: endedReset, 1220: endedReset,
}

// What Go's clients say where there is no code for it. A connection that ends before its answer does was closed by the
// server, with a reset or without.
var phrases = []struct {
	words string
	ending
}{
	{"connection refused", endedRefused},
	{"connection reset", endedReset},
	{"broken pipe", endedReset},
	{"EOF", endedReset},
	{"closed idle connection", endedReset},
	{"server preface", endedReset},
	{"deadline exceeded", endedTimedOut},
	{"timeout", endedTimedOut},
}

func endingOf(code int, words string) ending {
	if known, ok := endings[code]; ok {
		return known
	}
	for _, phrase := range phrases {
		if strings.Contains(words, phrase.words) {
			return phrase.ending
		}
	}
	return endedUnknown
}
