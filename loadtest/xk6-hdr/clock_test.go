package hdr

import (
	"testing"
	"time"
)

func TestAlarmsSleepAsLongAsAskedAndEndEarlyWhenInterrupted(t *testing.T) {
	for name, make := range map[string]func() alarm{"own": newAlarm, "portable": func() alarm { return newTimerAlarm() }} {
		a := make()
		began := time.Now()
		if !a.sleep(3*time.Millisecond) || time.Since(began) < 3*time.Millisecond {
			t.Errorf("%s: slept %v", name, time.Since(began))
		}
		go func() {
			time.Sleep(5 * time.Millisecond)
			a.interrupt()
			a.interrupt()
		}()
		if a.sleep(time.Minute) {
			t.Errorf("%s: slept through its interrupt", name)
		}
	}
}

func TestTheWallClockCountsFromItsZero(t *testing.T) {
	c := &wallClock{zero: time.Now().Add(time.Hour), alarm: newAlarm()}
	if c.now() > -int64(59*time.Minute) {
		t.Errorf("an hour before zero it is %v", time.Duration(c.now()))
	}
	c.zero = time.Now()
	c.until(int64(5 * time.Millisecond))
	if c.now() < int64(5*time.Millisecond) {
		t.Errorf("back at %v", time.Duration(c.now()))
	}
	c.interrupt()
	c.until(int64(time.Hour))
}
