package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"podium.dev/airgap/netpol/netpol/rules"
)

const watchSeconds = "300"

var errStale = errors.New("the server has forgotten where the watch stood")

// shelf holds the objects of one kind as the API server has them, and tells when they change.
type shelf[T rules.Object] struct {
	mutex   sync.Mutex
	items   map[string]T
	changed chan<- struct{}
}

func newShelf[T rules.Object](changed chan<- struct{}) *shelf[T] { return &shelf[T]{changed: changed} }

func (s *shelf[T]) isListed() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.items != nil
}

func (s *shelf[T]) all() []T {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	found := make([]T, 0, len(s.items))
	for _, one := range s.items {
		found = append(found, one)
	}
	return found
}

func (s *shelf[T]) change(how func(items map[string]T)) {
	s.mutex.Lock()
	how(s.items)
	s.mutex.Unlock()
	wake(s.changed)
}

func (s *shelf[T]) replace(items map[string]T) {
	s.mutex.Lock()
	s.items = items
	s.mutex.Unlock()
	wake(s.changed)
}

func wake(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// follow keeps a shelf as the API server has it, until it is told to end. What it has stays while the server is away.
func follow[T rules.Object](done context.Context, asked *client, path string, into *shelf[T]) {
	for done.Err() == nil {
		version, err := list(done, asked, path, into)
		for err == nil {
			begun := time.Now()
			version, err = watch(done, asked, path, version, into)
			// A server that ends watches at once must not be asked as fast as it answers, by every node.
			if err == nil && time.Since(begun) < again {
				pause(done, again)
			}
		}
		if done.Err() == nil {
			if !errors.Is(err, errStale) {
				fmt.Fprintf(os.Stderr, "netpol: %s: %v\n", path, err)
			}
			pause(done, again)
		}
	}
}

func list[T rules.Object](done context.Context, asked *client, path string, into *shelf[T]) (string, error) {
	body, err := asked.get(done, path, nil)
	if err != nil {
		return "", err
	}
	defer body.Close()
	var found struct {
		Metadata rules.Meta `json:"metadata"`
		Items    []T        `json:"items"`
	}
	if err := json.NewDecoder(body).Decode(&found); err != nil {
		return "", err
	}
	items := make(map[string]T, len(found.Items))
	for _, one := range found.Items {
		items[one.About().Key()] = one
	}
	into.replace(items)
	return found.Metadata.ResourceVersion, nil
}

// watch takes changes until the server ends the watch, and returns where the next one begins.
func watch[T rules.Object](
	done context.Context, asked *client, path, version string, into *shelf[T],
) (string, error) {
	query := url.Values{"watch": {"1"}, "resourceVersion": {version}, "allowWatchBookmarks": {"true"}}
	query.Set("timeoutSeconds", watchSeconds)
	body, err := asked.get(done, path, query)
	if err != nil {
		return "", err
	}
	defer body.Close()
	events := json.NewDecoder(body)
	for {
		var event struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := events.Decode(&event); errors.Is(err, io.EOF) {
			return version, nil
		} else if err != nil {
			return "", err
		}
		if event.Type == "ERROR" {
			return "", errStale
		}
		var one T
		if err := json.Unmarshal(event.Object, &one); err != nil {
			return "", err
		}
		version = one.About().ResourceVersion
		key := one.About().Key()
		switch event.Type {
		case "ADDED", "MODIFIED":
			into.change(func(items map[string]T) { items[key] = one })
		case "DELETED":
			into.change(func(items map[string]T) { delete(items, key) })
		}
	}
}

// get asks the API server, and returns the body of an answer that is a success.
func (c *client) get(done context.Context, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(done, http.MethodGet, c.server+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusGone {
		return nil, errStale
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
	return nil, fmt.Errorf("%s: %s", answer.Status, said)
}
