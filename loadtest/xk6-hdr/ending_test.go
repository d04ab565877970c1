package hdr

import "testing"

func TestAnEndingIsKnownByItsCodeElseByItsWords(t *testing.T) {
	cases := []struct {
		code  int
		words string
		want  ending
	}{
		{1050, "request timeout", endedTimedOut},
		{1212, "dial: connection refused", endedRefused},
		{1220, "read: connection reset by peer", endedReset},
		{1000, "EOF", endedReset},
		{1000, "http: server closed idle connection", endedReset},
		{0, "rpc error: code = Unavailable desc = dial tcp: connect: connection refused", endedRefused},
		{0, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", endedTimedOut},
		{1101, "lookup: no such host", endedUnknown},
		{0, "", endedUnknown},
	}
	for _, one := range cases {
		if got := endingOf(one.code, one.words); got != one.want {
			t.Errorf("%d %q is %d, not %d", one.code, one.words, got, one.want)
		}
	}
}

func TestAnEndingIsKeptOnlyWhereNoAnswerCame(t *testing.T) {
	p := newPlayer(t, openShot(1, 0, 10*ms))
	p.ask(0)
	p.gets(0, 0)
	p.r.done(p.users[0], noAnswer)
	p.r.failed(p.users[0], endedRefused)
	p.r.mark(p.users[0], false)
	p.ask(0)
	p.clock.set(10 * ms)
	p.gets(0, 1)
	p.r.done(p.users[0], 503)
	p.r.failed(p.users[0], endedReset)
	p.r.failed(newUser(), endedReset)
	samples, _ := p.r.outcome()
	if samples[0].Ending != endedRefused || samples[1].Ending != endedUnknown {
		t.Errorf("endings %d and %d", samples[0].Ending, samples[1].Ending)
	}
}
