// netpol enforces NetworkPolicies for the pods of one node of the test cluster. It is made for that cluster alone: a
// node whose pods are routed (no bridge), IPv4, one table of nftables that is replaced as a whole.
//
// Usage: netpol run, on a node, as root; netpol render NODE, which reads a state as JSON and prints the table. A pod is
// closed a moment after the API server knows its address, and stays so while this program is down.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"podium.dev/airgap/netpol/netpol/rules"
)

const (
	kubeconfig = "/etc/kubernetes/kubelet.conf"
	podNetwork = "10.244.0.0/16"
	gather     = 50 * time.Millisecond
	again      = time.Second
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "render" {
		end(render(os.Args[2]))
	}
	if len(os.Args) != 2 || os.Args[1] != "run" {
		fmt.Fprintln(os.Stderr, "usage: netpol run | netpol render NODE")
		os.Exit(2)
	}
	done, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	end(run(done, kubeconfig, write))
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func render(node string) error {
	var state rules.State
	if err := json.NewDecoder(os.Stdin).Decode(&state); err != nil {
		return fmt.Errorf("the state is no JSON of pods, namespaces and policies: %w", err)
	}
	fmt.Print(rules.Render(state, node))
	return nil
}

func run(done context.Context, config string, write func(string) error) error {
	node, err := os.Hostname()
	if err != nil {
		return err
	}
	asked, err := connect(config)
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	pods := newShelf[rules.Pod](changed)
	namespaces := newShelf[rules.Namespace](changed)
	policies := newShelf[rules.Policy](changed)
	go follow(done, asked, "/api/v1/pods", pods)
	go follow(done, asked, "/api/v1/namespaces", namespaces)
	go follow(done, asked, "/apis/networking.k8s.io/v1/networkpolicies", policies)

	written := ""
	for {
		select {
		case <-done.Done():
			return nil
		case <-changed:
		}
		// Changes come in flocks.
		time.Sleep(gather)
		if !pods.isListed() || !namespaces.isListed() || !policies.isListed() {
			continue
		}
		state := rules.State{
			Pods: pods.all(), Namespaces: namespaces.all(), Policies: policies.all(), PodNetwork: podNetwork,
		}
		text := rules.Render(state, node)
		if text == written {
			continue
		}
		if err := write(text); err != nil {
			fmt.Fprintln(os.Stderr, "netpol:", err)
			time.AfterFunc(again, func() { wake(changed) })
			continue
		}
		written = text
		fmt.Printf("netpol: %d directions of pods are closed\n", strings.Count(text, "counter drop"))
	}
}

// write replaces the table, or leaves the old one where nft refuses.
func write(text string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(text)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft refused the table: %w: %s", err, said)
	}
	return nil
}
