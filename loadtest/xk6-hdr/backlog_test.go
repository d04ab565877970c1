package hdr

import "testing"

func TestWhatWaitsLongerThanATimeOutForAUserIsGivenUpOnceNothingMoreArrives(t *testing.T) {
	p := newPlayer(t, openShot(1, 10*ms, 20*ms, 30*ms))
	p.ask(0)
	p.waitIdle(1)
	p.clock.set(30 * ms)
	p.gets(0, 0)
	p.waitHanded(3)
	// Still within its time-out, what waits is sent.
	p.clock.set(2029 * ms)
	p.answers(0, 200, true)
	p.ask(0)
	p.gets(0, 1)
	p.clock.set(2030 * ms)
	p.eventually(func() bool {
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		return p.r.gaveUp != 0
	})
	p.clock.set(2500 * ms)
	p.answers(0, 200, true)
	p.ask(0)
	p.gets(0, over)
	p.clock.set(9000 * ms)
	samples, result := p.r.outcome()
	if result.Sent != 2 || result.Unsent != 1 || result.Stopped != "" || len(samples) != 3 {
		t.Fatalf("%+v with %d samples", result, len(samples))
	}
	if last := samples[2]; last.Status != notSent || last.Start != 2030*ms || last.End != 2030*ms {
		t.Fatalf("it was given up as %+v", last)
	}
}
