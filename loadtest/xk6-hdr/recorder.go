package hdr

import (
	"context"
	"sync"
	"time"
)

const (
	over = -1 // what next gives a user when there is nothing more to send

	noAnswer = 0  // sent, and no answer came
	notSent  = -1 // its time came, and it was never sent
)

// Sample is one request, in nanoseconds since the run's zero; Ending says why there was no answer, where that is known.
type Sample struct {
	N, Intended, Start, End int64
	Status                  int32
	OK                      bool
	Ending                  ending
}

// user is one k6 user: the slot it is given, the one it is busy with, and the one whose answer it is checking.
type user struct {
	given    chan int
	current  int
	answered int
}

func newUser() *user { return &user{given: make(chan int, 1), current: over, answered: over} }

// recorder hands out requests and keeps their times. Slots count this runner's requests from 0.
type recorder struct {
	shot     *Shot
	newClock func(zero time.Time) clock
	started  chan struct{}

	mu       sync.Mutex
	clock    clock
	zero     time.Time
	present  map[*user]bool
	numbers  []int
	samples  []Sample
	idle     []*user
	backlog  []int
	handed   int
	dropped  int
	gaveUp   int64 // when what still waited for a user was given up, 0 when nothing was
	stopped  string
	complete bool

	inFlight        int
	intendedInWait  int64
	answeredLatency int64
	answeredCount   int
	watch           watch

	calls attempts
}

func newRecorder(shot *Shot, newClock func(zero time.Time) clock) *recorder {
	r := &recorder{shot: shot, newClock: newClock, started: make(chan struct{}), present: map[*user]bool{}}
	if shot.open() {
		r.numbers = shot.mine()
		r.samples = make([]Sample, len(r.numbers))
		for slot, n := range r.numbers {
			r.samples[slot] = Sample{N: int64(n), Intended: shot.arrivals[n], Start: -1, End: -1}
		}
	}
	return r
}

// next waits for the next request of the run and returns its number, or -1 when there is none for this user.
func (r *recorder) next(ctx context.Context, u *user) int {
	if !r.shot.open() {
		r.enter(u)
		select {
		case <-r.started:
			return r.nextClosed(u)
		case <-ctx.Done():
			return over
		}
	}
	slot, wait := r.nextOpen(u)
	if wait {
		select {
		case slot = <-u.given:
		case <-ctx.Done():
			return over
		}
	}
	if slot == over {
		return over
	}
	return r.begin(u, slot)
}

// enter starts a closed run once all users are there: nobody's first request pays for another's start.
func (r *recorder) enter(u *user) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clock != nil || r.present[u] {
		return
	}
	r.present[u] = true
	if len(r.present) == r.shot.Users || r.shot.StartUnixNS != 0 {
		r.start()
		r.clock.until(0)
		close(r.started)
	}
}

// start sets the run's zero: now, or when the runners agreed upon.
func (r *recorder) start() {
	r.zero = time.Now()
	if r.shot.StartUnixNS != 0 {
		r.zero = r.zero.Add(time.Duration(r.shot.StartUnixNS - r.zero.UnixNano()))
	}
	r.clock = r.newClock(r.zero)
}

// nextOpen gives the oldest arrival that still waits for a user, or lines the user up for the next one. The run starts
// when the last user is lined up: the first arrival would find nobody while all still come from their start.
func (r *recorder) nextOpen(u *user) (slot int, wait bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped != "":
		return over, false
	case len(r.backlog) > 0:
		slot, r.backlog = r.backlog[0], r.backlog[1:]
		return slot, false
	case r.handed == len(r.numbers) && r.clock != nil:
		return over, false
	}
	r.idle = append(r.idle, u)
	if r.clock == nil && (len(r.idle) == r.shot.Users || r.shot.StartUnixNS != 0) {
		r.start()
		close(r.started)
		go r.dispatch()
	}
	return over, true
}

func (r *recorder) nextClosed(u *user) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, slot := r.clock.now(), len(r.samples)
	if r.shot.Requests > 0 && slot >= r.shot.Requests || r.shot.Seconds > 0 && now >= r.shot.length() {
		r.complete = true
	}
	if r.complete || r.stopped != "" {
		return over
	}
	n := r.shot.Runner + slot*r.shot.Runners
	r.samples = append(r.samples, Sample{N: int64(n), Intended: now, Start: now, End: -1})
	r.handed++
	r.due(now)
	u.current = slot
	return n
}

func (r *recorder) begin(u *user, slot int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples[slot].Start = r.clock.now()
	u.current = slot
	return r.numbers[slot]
}

// dispatch gives each arrival at its time to the user that was busy last, so that few connections do the work.
func (r *recorder) dispatch() {
	for slot, n := range r.numbers {
		r.clock.until(r.shot.arrivals[n])
		if !r.hand(slot) {
			return
		}
	}
	if !r.finish() {
		r.clock.until(r.shot.arrivals[r.numbers[len(r.numbers)-1]] + r.shot.timeout())
		r.giveUp()
	}
}

// finish lets the users go that nothing more arrives for, and reports whether nothing waits for one either.
func (r *recorder) finish() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complete = true
	r.release()
	return len(r.backlog) == 0
}

// giveUp drops what waits for a user longer than an answer may take: it is a miss already, and sending it would only
// keep a server busy that nobody measures any more.
func (r *recorder) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == "" && len(r.backlog) > 0 {
		r.gaveUp, r.backlog = r.clock.now(), nil
	}
}

func (r *recorder) hand(slot int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != "" {
		return false
	}
	r.handed++
	r.due(r.samples[slot].Intended)
	if last := len(r.idle) - 1; last >= 0 {
		u := r.idle[last]
		r.idle = r.idle[:last]
		u.given <- slot
	} else {
		r.backlog = append(r.backlog, slot)
		r.dropped++
	}
	return true
}

func (r *recorder) due(intended int64) {
	r.inFlight++
	r.intendedInWait += intended
}

// done records the end of the user's request and its status, 0 for no answer.
func (r *recorder) done(u *user, status int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.current == over {
		return
	}
	s := &r.samples[u.current]
	s.End, s.Status = r.clock.now(), status
	u.answered, u.current = u.current, over
	r.inFlight--
	r.intendedInWait -= s.Intended
	r.answeredLatency += s.End - s.Intended
	r.answeredCount++
}

// failed records why the user's last request had no answer.
func (r *recorder) failed(u *user, why ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.answered != over && r.samples[u.answered].Status == noAnswer {
		r.samples[u.answered].Ending = why
	}
}

// mark records whether the content of the user's last answer was right; checking it takes time that is not latency.
func (r *recorder) mark(u *user, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.answered != over {
		r.samples[u.answered].OK = ok
	}
	u.answered = over
}

// stop lets no further request start; those under way are still waited for.
func (r *recorder) stop(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != "" || r.complete && len(r.backlog) == 0 {
		return
	}
	r.stopped = reason
	if r.clock != nil {
		r.clock.interrupt()
	}
	r.release()
}

func (r *recorder) release() {
	for _, u := range r.idle {
		u.given <- over
	}
	r.idle = nil
}

// observe takes one look at the run and reports whether it is over-saturated.
func (r *recorder) observe() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clock == nil {
		return false
	}
	p := point{at: r.clock.now(), inFlight: float64(r.inFlight)}
	if count := r.inFlight + r.answeredCount; count > 0 {
		ages := p.at*int64(r.inFlight) - r.intendedInWait
		p.latency = float64(ages+r.answeredLatency) / float64(count)
	}
	r.answeredLatency, r.answeredCount = 0, 0
	return r.watch.add(p)
}

// outcome closes the run and returns all requests whose time had come, in order, and the figures about them.
func (r *recorder) outcome() ([]Sample, Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := Result{
		Schema: resultSchema, Kind: r.shot.Kind, Runner: r.shot.Runner, Runners: r.shot.Runners,
		Planned: len(r.numbers), Dropped: r.dropped, Stopped: r.stopped,
	}
	if !r.shot.open() {
		result.Planned = r.shot.Requests
	}
	if !r.complete && r.stopped == "" {
		result.Stopped = stoppedInterrupted
	}
	if r.clock == nil {
		return nil, result
	}
	result.StartedUnixNS, result.Started = r.zero.UnixNano(), r.zero.UTC().Format(time.RFC3339Nano)
	cut := r.clock.now()
	samples := append([]Sample(nil), r.samples[:r.handed]...)
	for i := range samples {
		s := &samples[i]
		switch {
		case s.Start < 0 && r.gaveUp > 0:
			s.Start, s.End, s.Status = r.gaveUp, r.gaveUp, notSent
			result.Unsent++
			continue
		case s.Start < 0:
			s.Start, s.End, s.Status = cut, cut, notSent
			result.Unsent++
			continue
		case s.End < 0:
			s.End, s.Status = cut, noAnswer
			result.Cut++
		case s.Status > noAnswer:
			result.Answered++
		}
		result.Sent++
		result.Seconds = max(result.Seconds, float64(s.End)/float64(time.Second))
	}
	return samples, result
}
