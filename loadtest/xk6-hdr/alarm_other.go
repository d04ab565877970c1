//go:build !linux

package hdr

func newAlarm() alarm { return newTimerAlarm() }
