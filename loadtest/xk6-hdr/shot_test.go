package hdr

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeIntegers(t *testing.T, path, magic string, numbers ...int64) {
	t.Helper()
	data := binary.LittleEndian.AppendUint64([]byte(magic), uint64(len(numbers)))
	for _, number := range numbers {
		data = binary.LittleEndian.AppendUint64(data, uint64(number))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shotFolder writes a shot that can be played, with the changes asked for.
func shotFolder(t *testing.T, changes map[string]any) string {
	t.Helper()
	folder := t.TempDir()
	writeIntegers(t, filepath.Join(folder, "schedule.bin"), scheduleMagic, 0, 10, 20, 30, 40)
	writeIntegers(t, filepath.Join(folder, "order.bin"), orderMagic, 1, 0)
	for name, content := range map[string]string{
		"a.jpg": "a.jpg", "b.jpg": "b.jpg", "one.json": `[{"path": "a.jpg"}]`, "gone.json": `[{"path": "nothing.jpg"}]`,
		"payloads.json": `[{"path": "a.jpg", "items": 1}, {"path": "b.jpg", "headers": {"x": "y"}, "items": 2}]`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shot := map[string]any{
		"kind": "open", "schedule": "schedule.bin", "users": 2, "timeout_s": 0.5,
		"payloads": "payloads.json", "order": "order.bin", "url": "http://x", "tags": map[string]string{},
	}
	for name, value := range changes {
		shot[name] = value
	}
	text, err := json.Marshal(shot)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "shot.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadShotReadsEverythingItNames(t *testing.T) {
	shot, err := LoadShot(shotFolder(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(shot.arrivals) != 5 || string(shot.payloads[1].body) != "b.jpg" || shot.timeout() != 500_000_000 {
		t.Fatalf("read %+v", shot)
	}
	if shot.pick(0) != 1 || shot.pick(1) != 0 || shot.pick(2) != 1 {
		t.Fatal("the payload order does not start over")
	}
}

func TestRunnersShareTheArrivalsWithoutGapOrOverlap(t *testing.T) {
	for runners := 1; runners <= 6; runners++ {
		seen := map[int]int{}
		for runner := 0; runner < runners; runner++ {
			shot, err := LoadShot(shotFolder(t, map[string]any{"runner": runner, "runners": runners}))
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range shot.mine() {
				if n%runners != runner {
					t.Fatalf("runner %d of %d takes arrival %d", runner, runners, n)
				}
				seen[n]++
			}
		}
		for n := 0; n < 5; n++ {
			if seen[n] != 1 {
				t.Fatalf("with %d runners arrival %d is taken %d times", runners, n, seen[n])
			}
		}
	}
}

func TestLoadShotRefusesWhatCannotBePlayed(t *testing.T) {
	cases := []struct {
		sentence string
		changes  map[string]any
	}{
		{"not open or closed", map[string]any{"kind": "ramp"}},
		{"needs a schedule", map[string]any{"schedule": ""}},
		{"needs seconds or requests", map[string]any{"kind": "closed"}},
		{"users is 0", map[string]any{"users": 0}},
		{"timeout_s is 0", map[string]any{"timeout_s": 0}},
		{"runner 2 of 2", map[string]any{"runner": 2, "runners": 2}},
		{"payloads and their order", map[string]any{"order": ""}},
		{"no such file", map[string]any{"schedule": "nothing.bin"}},
		{"no such file", map[string]any{"payloads": "nothing.json"}},
		{"no such file", map[string]any{"payloads": "gone.json"}},
		{"not a list of payloads", map[string]any{"payloads": "a.jpg"}},
		{"names payload 1 of 1", map[string]any{"payloads": "one.json"}},
		{"payload a.jpg: not a V2 request", map[string]any{"protocol": "grpc"}},
		{"does not start with PODSCHD1", map[string]any{"schedule": "order.bin"}},
		{"is not a shot file", map[string]any{"users": "many"}},
	}
	for _, c := range cases {
		_, err := LoadShot(shotFolder(t, c.changes))
		if err == nil || !strings.Contains(err.Error(), c.sentence) {
			t.Errorf("%v: got %v, want %q", c.changes, err, c.sentence)
		}
	}
	if _, err := LoadShot(filepath.Join(t.TempDir(), "shot.json")); err == nil {
		t.Error("a missing shot file was read")
	}
}

func TestLoadShotRefusesDamagedFiles(t *testing.T) {
	path := shotFolder(t, nil)
	folder := filepath.Dir(path)
	writeIntegers(t, filepath.Join(folder, "schedule.bin"), scheduleMagic, 5, 4)
	if _, err := LoadShot(path); err == nil || !strings.Contains(err.Error(), "back in time") {
		t.Errorf("a schedule that goes back: %v", err)
	}
	writeIntegers(t, filepath.Join(folder, "schedule.bin"), scheduleMagic, 1, 2)
	writeIntegers(t, filepath.Join(folder, "order.bin"), orderMagic)
	if _, err := LoadShot(path); err == nil || !strings.Contains(err.Error(), "order is empty") {
		t.Errorf("an empty order: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(folder, "schedule.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "schedule.bin"), data[:len(data)-4], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadShot(path); err == nil || !strings.Contains(err.Error(), "not 2 numbers") {
		t.Errorf("half a schedule: %v", err)
	}
}
