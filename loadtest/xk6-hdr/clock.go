package hdr

import "time"

// clock tells the time of a run: nanoseconds since its zero, negative before it.
type clock interface {
	now() int64
	// until returns at the given time, or earlier once interrupt was called.
	until(at int64)
	interrupt()
}

// wallClock counts on the monotonic clock from zero, and sleeps with an alarm finer than the runtime's timers.
type wallClock struct {
	zero  time.Time
	alarm alarm
}

func (c *wallClock) now() int64 { return int64(time.Since(c.zero)) }

func (c *wallClock) until(at int64) {
	for {
		left := time.Duration(at - c.now())
		if left <= 0 || !c.alarm.sleep(left) {
			return
		}
	}
}

func (c *wallClock) interrupt() { c.alarm.interrupt() }

// alarm sleeps; it reports false when it was interrupted.
type alarm interface {
	sleep(left time.Duration) bool
	interrupt()
}

// timerAlarm is the portable alarm. The runtime rounds its wait for timers to whole milliseconds on Linux.
type timerAlarm struct{ cut chan struct{} }

func newTimerAlarm() *timerAlarm { return &timerAlarm{cut: make(chan struct{}, 1)} }

func (a *timerAlarm) sleep(left time.Duration) bool {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.cut:
		return false
	}
}

func (a *timerAlarm) interrupt() {
	select {
	case a.cut <- struct{}{}:
	default:
	}
}
