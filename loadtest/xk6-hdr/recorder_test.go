package hdr

import (
	"context"
	"sync"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// manualClock stands still until the test moves it.
type manualClock struct {
	mu    sync.Mutex
	moved *sync.Cond
	at    int64
	cut   bool
}

func newManualClock() *manualClock {
	c := &manualClock{}
	c.moved = sync.NewCond(&c.mu)
	return c
}

func (c *manualClock) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *manualClock) until(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.at < at && !c.cut {
		c.moved.Wait()
	}
}

func (c *manualClock) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	c.moved.Broadcast()
}

func (c *manualClock) set(at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	c.moved.Broadcast()
}

// player is a recorder with a manual clock and users that the test moves step by step.
type player struct {
	t     *testing.T
	r     *recorder
	clock *manualClock
	users []*user
	next  []chan int
}

func newPlayer(t *testing.T, shot *Shot) *player {
	t.Helper()
	if shot.Runners == 0 {
		shot.Runners = 1
	}
	if shot.TimeoutS == 0 {
		shot.TimeoutS = 2
	}
	p := &player{t: t, clock: newManualClock()}
	p.r = newRecorder(shot, func(time.Time) clock { return p.clock })
	for range shot.Users {
		p.users = append(p.users, newUser())
		p.next = append(p.next, make(chan int, 1))
	}
	return p
}

// ask lets a user call next, in a goroutine of its own as in k6.
func (p *player) ask(user int) {
	go func() { p.next[user] <- p.r.next(context.Background(), p.users[user]) }()
}

// waitIdle waits until so many users are lined up.
func (p *player) waitIdle(count int) {
	p.t.Helper()
	p.eventually(func() bool {
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		return len(p.r.idle) == count
	})
}

func (p *player) waitHanded(count int) {
	p.t.Helper()
	p.eventually(func() bool {
		p.r.mu.Lock()
		defer p.r.mu.Unlock()
		return p.r.handed == count
	})
}

func (p *player) eventually(holds func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			p.t.Fatal("it did not happen within 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *player) gets(user, n int) {
	p.t.Helper()
	select {
	case got := <-p.next[user]:
		if got != n {
			p.t.Fatalf("user %d got %d, not %d", user, got, n)
		}
	case <-time.After(10 * time.Second):
		p.t.Fatalf("user %d got nothing", user)
	}
}

func (p *player) answers(user int, status int32, ok bool) {
	p.r.done(p.users[user], status)
	p.r.mark(p.users[user], ok)
}

func openShot(users int, arrivals ...int64) *Shot {
	return &Shot{Kind: "open", Users: users, arrivals: arrivals}
}

func TestARequestIsTimedFromItsIntendedStart(t *testing.T) {
	p := newPlayer(t, openShot(1, 10*ms, 20*ms))
	p.ask(0)
	p.waitIdle(1)
	p.clock.set(10 * ms)
	p.gets(0, 0)
	p.clock.set(45 * ms)
	p.waitHanded(2)
	p.answers(0, 200, true)
	p.ask(0)
	p.gets(0, 1)
	p.clock.set(50 * ms)
	p.answers(0, 503, false)
	p.ask(0)
	p.gets(0, over)
	samples, result := p.r.outcome()
	want := []Sample{
		{N: 0, Intended: 10 * ms, Start: 10 * ms, End: 45 * ms, Status: 200, OK: true},
		{N: 1, Intended: 20 * ms, Start: 45 * ms, End: 50 * ms, Status: 503},
	}
	equal(t, samples, want)
	if result.Planned != 2 || result.Sent != 2 || result.Answered != 2 || result.Dropped != 1 || result.Stopped != "" {
		t.Errorf("result %+v", result)
	}
	if result.Seconds != 0.05 {
		t.Errorf("seconds %g", result.Seconds)
	}
}

// The first arrival would find nobody if users came to the line only after the start.
func TestTheRunStartsWhenAllUsersAreLinedUp(t *testing.T) {
	p := newPlayer(t, openShot(3, 0))
	p.ask(0)
	p.ask(1)
	p.waitIdle(2)
	select {
	case <-p.r.started:
		t.Fatal("started with two of three users")
	case <-time.After(20 * time.Millisecond):
	}
	p.ask(2)
	p.gets(2, 0)
	p.answers(2, 200, true)
	if _, result := p.r.outcome(); result.Dropped != 0 || result.Answered != 1 {
		t.Errorf("result %+v", result)
	}
}

func TestTheUserThatWasBusyLastTakesTheNextArrival(t *testing.T) {
	p := newPlayer(t, openShot(3, 10*ms, 20*ms))
	for user := range 3 {
		p.ask(user)
		p.waitIdle(user + 1)
	}
	p.clock.set(10 * ms)
	p.gets(2, 0)
	p.answers(2, 200, true)
	p.ask(2)
	p.waitIdle(3)
	p.clock.set(20 * ms)
	p.gets(2, 1)
	p.gets(0, over)
	p.gets(1, over)
}

func TestAStopLeavesRequestsUnderWayAndCountsWhatWasNeverSent(t *testing.T) {
	p := newPlayer(t, openShot(1, 0, 10*ms, 20*ms, 900*ms))
	p.ask(0)
	p.gets(0, 0)
	p.clock.set(30 * ms)
	p.waitHanded(3)
	p.r.stop(stoppedOversaturated)
	p.r.stop(stoppedOrphaned)
	p.clock.set(70 * ms)
	p.answers(0, 200, true)
	p.ask(0)
	p.gets(0, over)
	samples, result := p.r.outcome()
	want := []Sample{
		{N: 0, Start: 0, End: 70 * ms, Status: 200, OK: true},
		{N: 1, Intended: 10 * ms, Start: 70 * ms, End: 70 * ms, Status: notSent},
		{N: 2, Intended: 20 * ms, Start: 70 * ms, End: 70 * ms, Status: notSent},
	}
	equal(t, samples, want)
	if result.Stopped != stoppedOversaturated || result.Sent != 1 || result.Unsent != 2 || result.Dropped != 2 {
		t.Errorf("result %+v", result)
	}
}

func TestWhatIsCutIsKeptAsUnanswered(t *testing.T) {
	p := newPlayer(t, openShot(1, 0, 50*ms))
	p.ask(0)
	p.gets(0, 0)
	p.clock.set(20 * ms)
	samples, result := p.r.outcome()
	equal(t, samples, []Sample{{N: 0, End: 20 * ms, Status: noAnswer}})
	if result.Cut != 1 || result.Answered != 0 || result.Stopped != stoppedInterrupted {
		t.Errorf("result %+v", result)
	}
	p.r.stop(stoppedOrphaned)
}

func TestAUserWhoseTestEndsStopsWaiting(t *testing.T) {
	p := newPlayer(t, openShot(2, 50*ms))
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan int, 2)
	go func() { got <- p.r.next(ctx, p.users[0]) }()
	cancel()
	if n := <-got; n != over {
		t.Errorf("before the start: %d", n)
	}
	ctx, cancel = context.WithCancel(context.Background())
	go func() { got <- p.r.next(ctx, p.users[1]) }()
	p.waitIdle(2)
	cancel()
	if n := <-got; n != over {
		t.Errorf("while waiting: %d", n)
	}
	p.r.stop(stoppedOrphaned)
}

func TestAClosedLoopEndsByCountOrTime(t *testing.T) {
	p := newPlayer(t, &Shot{Kind: "closed", Users: 1, Requests: 2, Runner: 1, Runners: 3})
	for _, n := range []int{1, 4} {
		p.ask(0)
		p.gets(0, n)
		p.clock.set(p.clock.now() + 5*ms)
		p.answers(0, 200, true)
	}
	p.ask(0)
	p.gets(0, over)
	samples, result := p.r.outcome()
	equal(t, samples, []Sample{
		{N: 1, End: 5 * ms, Status: 200, OK: true},
		{N: 4, Intended: 5 * ms, Start: 5 * ms, End: 10 * ms, Status: 200, OK: true},
	})
	if result.Planned != 2 || result.Stopped != "" {
		t.Errorf("result %+v", result)
	}

	p = newPlayer(t, &Shot{Kind: "closed", Users: 1, Seconds: 0.01})
	p.ask(0)
	p.gets(0, 0)
	p.clock.set(10 * ms)
	p.answers(0, 0, false)
	p.ask(0)
	p.gets(0, over)
	if _, result := p.r.outcome(); result.Sent != 1 || result.Answered != 0 || result.Planned != 0 {
		t.Errorf("result %+v", result)
	}
}

func TestALookCountsWhatIsDueAndTheAgeOfWhatIsUnanswered(t *testing.T) {
	p := newPlayer(t, openShot(1, 0, 100*ms))
	if p.r.observe() {
		t.Error("over-saturated before the start")
	}
	p.ask(0)
	p.gets(0, 0)
	p.clock.set(150 * ms)
	p.waitHanded(2)
	p.r.observe()
	p.answers(0, 200, true)
	p.clock.set(200 * ms)
	p.r.observe()
	want := []point{
		{at: 150 * ms, inFlight: 2, latency: float64(100 * ms)},
		{at: 200 * ms, inFlight: 1, latency: float64(125 * ms)},
	}
	for i, w := range want {
		if p.r.watch.points[i] != w {
			t.Errorf("look %d: %+v, not %+v", i, p.r.watch.points[i], w)
		}
	}
}

func TestAnAnswerWithoutARequestIsIgnored(t *testing.T) {
	p := newPlayer(t, openShot(1, 0))
	p.answers(0, 200, true)
	if samples, _ := p.r.outcome(); len(samples) != 0 {
		t.Errorf("samples %+v", samples)
	}
}

// Real clock, many users, two runners: every arrival is taken once, none before its time.
func TestManyUsersOnTheRealClock(t *testing.T) {
	arrivals := make([]int64, 400)
	for i := range arrivals {
		arrivals[i] = int64(i) * ms / 2
	}
	var all []Sample
	for runner := range 2 {
		shot := openShot(20, arrivals...)
		shot.Runner, shot.Runners, shot.TimeoutS = runner, 2, 1
		r := newRecorder(shot, func(zero time.Time) clock { return &wallClock{zero: zero, alarm: newAlarm()} })
		var group sync.WaitGroup
		for range shot.Users {
			group.Go(func() {
				u := newUser()
				for r.next(context.Background(), u) != over {
					time.Sleep(2 * time.Millisecond)
					r.done(u, 200)
					r.mark(u, true)
				}
			})
		}
		group.Wait()
		samples, result := r.outcome()
		if result.Stopped != "" || result.Sent != 200 {
			t.Fatalf("result %+v", result)
		}
		all = append(all, samples...)
	}
	seen := map[int64]bool{}
	for _, s := range all {
		if seen[s.N] || s.Start < s.Intended || s.End < s.Start+2*ms {
			t.Fatalf("sample %+v", s)
		}
		seen[s.N] = true
	}
	if len(seen) != 400 {
		t.Fatalf("%d arrivals were taken", len(seen))
	}
}

func TestAnAgreedStartIsWaitedFor(t *testing.T) {
	shot := openShot(1, 0)
	shot.Runners, shot.TimeoutS = 1, 1
	start := time.Now().Add(50 * time.Millisecond)
	shot.StartUnixNS = start.UnixNano()
	r := newRecorder(shot, func(zero time.Time) clock { return &wallClock{zero: zero, alarm: newAlarm()} })
	if n := r.next(context.Background(), newUser()); n != 0 || time.Now().Before(start) {
		t.Errorf("got %d %v early", n, time.Until(start))
	}
	if _, result := r.outcome(); result.StartedUnixNS != shot.StartUnixNS {
		t.Errorf("started %d, agreed %d", result.StartedUnixNS, shot.StartUnixNS)
	}
}

func equal(t *testing.T, got, want []Sample) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d samples, not %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("sample %d: %+v, not %+v", i, got[i], want[i])
		}
	}
}
