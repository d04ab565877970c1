// Package hdr is a k6 extension that plays a schedule of arrivals and keeps the true time of every request.
//
// It is a JavaScript module (k6/x/hdr: next, pick, body, done, mark) and an output (--out hdr=FOLDER) over one recorder.
// k6's own arrival-rate executors start their clock at the real send, and JavaScript's clock has whole milliseconds;
// here every request is timed on Go's monotonic clock from the instant the schedule meant it to leave.
package hdr
