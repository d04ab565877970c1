package hdr

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// descriptorAlarm sleeps on a timer file descriptor through the runtime's poller: as exact as the kernel's
// high-resolution timers, and no scheduler slot is held while it waits.
type descriptorAlarm struct {
	descriptor int
	file       *os.File
}

func newAlarm() alarm {
	descriptor, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimerAlarm()
	}
	return &descriptorAlarm{descriptor: descriptor, file: os.NewFile(uintptr(descriptor), "timer")}
}

func (a *descriptorAlarm) sleep(left time.Duration) bool {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	if err := unix.TimerfdSettime(a.descriptor, 0, &spec, nil); err != nil {
		return false
	}
	var expirations [8]byte
	_, err := a.file.Read(expirations[:])
	return err == nil
}

// A deadline in the past ends a read that waits and every later one.
func (a *descriptorAlarm) interrupt() { _ = a.file.SetReadDeadline(time.Unix(1, 0)) }
