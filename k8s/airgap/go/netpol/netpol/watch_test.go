package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"podium.dev/airgap/netpol/netpol/rules"
)

// serve answers as an API server, and returns a client that has read the kubelet's file for it.
func serve(t *testing.T, answer http.HandlerFunc) *client {
	t.Helper()
	made, err := connect(config(t, answer))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// config answers as an API server, and returns the kubelet's file for it.
func config(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	folder := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		var text []byte
		for _, block := range blocks {
			text = append(text, pem.EncodeToMemory(block)...)
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}
	pair := write("pair.pem", certificate, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	text := fmt.Sprintf("clusters:\n- cluster:\n    certificate-authority-data: %s\n    server: %s\nusers:\n- user:\n"+
		"    client-certificate: %[3]s\n    client-key: %[3]s\n",
		base64.StdEncoding.EncodeToString(pem.EncodeToMemory(certificate)), server.URL, pair)
	path := filepath.Join(folder, "kubelet.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func namespace(name, version string) string {
	return fmt.Sprintf(`{"metadata": {"name": %q, "resourceVersion": %q}}`, name, version)
}

func names(of *shelf[rules.Namespace]) string {
	var found []string
	for _, one := range of.all() {
		found = append(found, one.Metadata.Name)
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func eventually(t *testing.T, changed <-chan struct{}, holds func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-changed:
		case <-late:
			t.Fatal("it never came to be")
		}
	}
}

func TestAShelfFollowsTheServer(t *testing.T) {
	asked := make(chan string, 100)
	lists := 0
	made := serve(t, func(answer http.ResponseWriter, request *http.Request) {
		version := request.URL.Query().Get("resourceVersion")
		asked <- version
		switch {
		case request.URL.Query().Get("watch") == "":
			lists++
			items := []string{namespace("a", "1"), namespace("b", "1")}
			if lists > 1 {
				items = []string{namespace("late", "9")}
			}
			fmt.Fprintf(answer, `{"metadata": {"resourceVersion": "5"}, "items": [%s]}`, strings.Join(items, ","))
		case version == "5" && lists == 1:
			fmt.Fprintf(answer, `{"type": "ADDED", "object": %s}{"type": "DELETED", "object": %s}`,
				namespace("c", "6"), namespace("a", "7"))
		case version == "7":
			fmt.Fprintf(answer, `{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}`)
		case version == "8":
			fmt.Fprint(answer, `{"type": "ERROR", "object": {"code": 410}}`)
		default:
			answer.(http.Flusher).Flush()
			<-request.Context().Done()
		}
	})
	done, stop := context.WithCancel(context.Background())
	defer stop()
	changed := make(chan struct{}, 1)
	seen := newShelf[rules.Namespace](changed)
	if seen.isListed() {
		t.Error("an empty shelf says that it was filled")
	}
	go follow(done, made, "/api/v1/namespaces", seen)
	eventually(t, changed, func() bool { return names(seen) == "late" })
	var versions []string
	for range 5 {
		versions = append(versions, <-asked)
	}
	if want := []string{"", "5", "7", "8", ""}; !slices.Equal(versions, want) {
		t.Errorf("asked for %q, not %q", versions, want)
	}
}

func TestAServerThatEndsWatchesAtOnceIsGivenAPause(t *testing.T) {
	for name, said := range map[string]string{
		"stale": `{"type": "ERROR", "object": {"code": 410}}`,
		"ended": `{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			watches := make(chan time.Time, 1000)
			made := serve(t, func(answer http.ResponseWriter, request *http.Request) {
				if request.URL.Query().Get("watch") == "" {
					fmt.Fprint(answer, `{"metadata": {"resourceVersion": "5"}, "items": []}`)
					return
				}
				watches <- time.Now()
				fmt.Fprint(answer, said)
			})
			done, stop := context.WithCancel(context.Background())
			defer stop()
			go follow(done, made, "/api/v1/namespaces", newShelf[rules.Namespace](make(chan struct{}, 1)))
			first := <-watches
			if between := (<-watches).Sub(first); between < again {
				t.Errorf("it asked again after %v", between)
			}
		})
	}
}

func TestChangesArriveOneByOne(t *testing.T) {
	next := make(chan string)
	made := serve(t, func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Get("watch") == "" {
			fmt.Fprintf(answer, `{"metadata": {"resourceVersion": "5"}, "items": [%s]}`, namespace("a", "1"))
			return
		}
		for {
			answer.(http.Flusher).Flush()
			select {
			case event := <-next:
				fmt.Fprint(answer, event)
			case <-request.Context().Done():
				return
			}
		}
	})
	done, stop := context.WithCancel(context.Background())
	defer stop()
	changed := make(chan struct{}, 1)
	seen := newShelf[rules.Namespace](changed)
	go follow(done, made, "/api/v1/namespaces", seen)
	eventually(t, changed, func() bool { return names(seen) == "a" && seen.isListed() })
	for _, step := range []struct{ kind, name, want string }{
		{"ADDED", "b", "a b"}, {"DELETED", "a", "b"}, {"MODIFIED", "c", "b c"},
	} {
		next <- fmt.Sprintf(`{"type": %q, "object": %s}`, step.kind, namespace(step.name, "6"))
		eventually(t, changed, func() bool { return names(seen) == step.want })
	}
}

func TestWhatWasSeenStaysWhileTheServerIsAway(t *testing.T) {
	asks := make(chan struct{}, 100)
	var asked atomic.Int32
	made := serve(t, func(answer http.ResponseWriter, request *http.Request) {
		if asked.Add(1) > 1 {
			http.Error(answer, "not now", http.StatusServiceUnavailable)
		} else {
			fmt.Fprintf(answer, `{"metadata": {"resourceVersion": "5"}, "items": [%s]}`, namespace("a", "1"))
		}
		asks <- struct{}{}
	})
	done, stop := context.WithCancel(context.Background())
	defer stop()
	changed := make(chan struct{}, 1)
	seen := newShelf[rules.Namespace](changed)
	go follow(done, made, "/api/v1/namespaces", seen)
	eventually(t, changed, seen.isListed)
	for range 3 {
		<-asks
	}
	if names(seen) != "a" {
		t.Error(names(seen))
	}
}

func TestAFileThatNamesNoServerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.conf")
	for _, text := range []string{"", "server: https://x:6443\n", "certificate-authority-data: \"\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := connect(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := connect(path + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestTheTableFollowsWhatTheServerHas(t *testing.T) {
	node, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	closing := `{"metadata": {"name": "p", "namespace": "x"}, "spec": {"podSelector": {}}}`
	pod := fmt.Sprintf(`{"metadata": {"name": "a", "namespace": "x"}, "spec": {"nodeName": %q},
		"status": {"podIP": "10.244.1.1"}}`, node)
	items := map[string]string{"/api/v1/pods": pod, "/apis/networking.k8s.io/v1/networkpolicies": closing}
	removed := make(chan struct{})
	path := config(t, func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Get("watch") == "" {
			fmt.Fprintf(answer, `{"metadata": {"resourceVersion": "5"}, "items": [%s]}`, items[request.URL.Path])
			return
		}
		answer.(http.Flusher).Flush()
		if strings.HasSuffix(request.URL.Path, "networkpolicies") {
			select {
			case <-removed:
				fmt.Fprintf(answer, `{"type": "DELETED", "object": %s}`, closing)
				answer.(http.Flusher).Flush()
			case <-request.Context().Done():
			}
		}
		<-request.Context().Done()
	})
	done, stop := context.WithCancel(context.Background())
	defer stop()
	written := make(chan string, 10)
	tries := 0
	ended := make(chan error)
	go func() {
		ended <- run(done, path, func(text string) error {
			if tries++; tries == 1 {
				return errors.New("not now")
			}
			written <- text
			return nil
		})
	}()
	if text := <-written; !strings.Contains(text, "ip daddr vmap { 10.244.1.1 : jump in-10.244.1.1 }") {
		t.Error(text)
	}
	close(removed)
	if text := <-written; strings.Contains(text, "drop") {
		t.Error(text)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if run(context.Background(), path+"x", nil) == nil {
		t.Error("it ran without the kubelet's file")
	}
}
