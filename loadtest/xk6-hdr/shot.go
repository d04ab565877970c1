package hdr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	scheduleMagic = "PODSCHD1"
	orderMagic    = "PODORDR1"
)

// Shot is what one generator process has to do; the fields are those of the JSON file that loadtest/k6.py writes.
type Shot struct {
	Kind                  string  `json:"kind"`
	Schedule              string  `json:"schedule"`
	Seconds               float64 `json:"seconds"`
	Requests              int     `json:"requests"`
	Users                 int     `json:"users"`
	TimeoutS              float64 `json:"timeout_s"`
	Runner                int     `json:"runner"`
	Runners               int     `json:"runners"`
	StartUnixNS           int64   `json:"start_unix_ns"`
	StopWhenOversaturated bool    `json:"stop_when_oversaturated"`
	Payloads              string  `json:"payloads"`
	Order                 string  `json:"order"`
	Protocol              string  `json:"protocol"`
	URL                   string  `json:"url"`
	Model                 string  `json:"model"`

	arrivals []int64
	order    []int64
	payloads []Payload
}

// Payload is one body and how it is sent. They stand in a file of their own: every user of a script reads the shot, and
// most users never send most payloads.
type Payload struct {
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Items   int               `json:"items"`
	Answer  *Answer           `json:"answer"`

	body []byte
}

// Answer is what is known of a payload's right answer: the class that is found in it.
type Answer struct {
	Place int    `json:"place"`
	Label string `json:"label"`
}

// LoadShot reads the shot file and everything it names; relative paths start at its folder.
func LoadShot(path string) (*Shot, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, fmt.Errorf("the shot file cannot be read: %w", err)
	}
	shot := &Shot{Runners: 1}
	if err := json.Unmarshal(text, shot); err != nil {
		return nil, fmt.Errorf("%s is not a shot file: %w", path, err)
	}
	if err := shot.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := shot.load(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return shot, nil
}

func (s *Shot) open() bool { return s.Kind == "open" }

func (s *Shot) timeout() int64 { return int64(s.TimeoutS * float64(time.Second)) }

// length is how long new requests may start, 0 for no limit.
func (s *Shot) length() int64 { return int64(s.Seconds * float64(time.Second)) }

func (s *Shot) check() error {
	switch {
	case s.Kind != "open" && s.Kind != "closed":
		return fmt.Errorf("kind is %q, not open or closed", s.Kind)
	case s.open() && s.Schedule == "":
		return fmt.Errorf("an open shot needs a schedule")
	case !s.open() && s.Seconds <= 0 && s.Requests <= 0:
		return fmt.Errorf("a closed shot needs seconds or requests")
	case s.Users < 1:
		return fmt.Errorf("users is %d, below 1", s.Users)
	case s.TimeoutS <= 0:
		return fmt.Errorf("timeout_s is %g, not above 0", s.TimeoutS)
	case s.Runners < 1 || s.Runner < 0 || s.Runner >= s.Runners:
		return fmt.Errorf("runner %d of %d does not exist", s.Runner, s.Runners)
	case s.Payloads == "" || s.Order == "":
		return fmt.Errorf("payloads and their order are needed")
	}
	return nil
}

func (s *Shot) load(folder string) error {
	var err error
	if s.open() {
		if s.arrivals, err = readIntegers(within(folder, s.Schedule), scheduleMagic); err != nil {
			return err
		}
		for i, at := range s.arrivals {
			if at < 0 || i > 0 && at < s.arrivals[i-1] {
				return fmt.Errorf("arrival %d of the schedule goes back in time", i)
			}
		}
	}
	if err = s.loadPayloads(folder); err != nil {
		return err
	}
	if s.order, err = readIntegers(within(folder, s.Order), orderMagic); err != nil {
		return err
	}
	if len(s.order) == 0 {
		return fmt.Errorf("the payload order is empty")
	}
	for _, i := range s.order {
		if i < 0 || i >= int64(len(s.payloads)) {
			return fmt.Errorf("the payload order names payload %d of %d", i, len(s.payloads))
		}
	}
	return nil
}

func (s *Shot) loadPayloads(folder string) error {
	text, err := os.ReadFile(within(folder, s.Payloads)) //nolint:gosec // the caller's own file
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.payloads); err != nil {
		return fmt.Errorf("%s is not a list of payloads: %w", s.Payloads, err)
	}
	for i := range s.payloads {
		payload := &s.payloads[i]
		if payload.body, err = os.ReadFile(within(folder, payload.Path)); err != nil { //nolint:gosec // the caller's own file
			return err
		}
		if s.Protocol == protocolGRPC {
			if payload.body, err = inferRequest(s.Model, payload.body); err != nil {
				return fmt.Errorf("payload %s: %w", payload.Path, err)
			}
		}
	}
	return nil
}

// mine are the numbers of the arrivals that this runner takes.
func (s *Shot) mine() []int {
	numbers := make([]int, 0, len(s.arrivals)/s.Runners+1)
	for n := s.Runner; n < len(s.arrivals); n += s.Runners {
		numbers = append(numbers, n)
	}
	return numbers
}

func (s *Shot) pick(n int) int { return int(s.order[n%len(s.order)]) }

func within(folder, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}

// readIntegers reads a magic word, a count and that many little-endian 64-bit integers.
func readIntegers(path, magic string) ([]int64, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the caller's own file
	if err != nil {
		return nil, err
	}
	if len(data) < 16 || !bytes.HasPrefix(data, []byte(magic)) {
		return nil, fmt.Errorf("%s does not start with %s", path, magic)
	}
	count := binary.LittleEndian.Uint64(data[8:])
	body := data[16:]
	if count != uint64(len(body))/8 || len(body)%8 != 0 {
		return nil, fmt.Errorf("%s holds %d bytes of numbers, not %d numbers", path, len(body), count)
	}
	numbers := make([]int64, count)
	for i := range numbers {
		numbers[i] = int64(binary.LittleEndian.Uint64(body[8*i:])) //nolint:gosec // two's complement on purpose
	}
	return numbers, nil
}
