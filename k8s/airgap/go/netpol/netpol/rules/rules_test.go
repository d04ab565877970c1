package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const here = "node-1"

// pod makes a running pod with two named ports; its address ends in the number.
func pod(namespace, name string, number int, node string) Pod {
	text := fmt.Sprintf(`{"metadata": {"namespace": %q, "name": %q, "labels": {"pod": %q}},
		"spec": {"nodeName": %q, "containers": [{"ports": [{"name": "web", "containerPort": 80},
			{"name": "names", "containerPort": 53, "protocol": "UDP"}, {"name": "web", "containerPort": 82}]}]},
		"status": {"phase": "Running", "podIP": "10.244.1.%d"}}`, namespace, name, name, node, number)
	return read[Pod](text)
}

func read[T any](text string) T {
	var made T
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		panic(err)
	}
	return made
}

// world is two namespaces x and y with the pods a (here) and b (elsewhere) in each, and the policies in x.
func world(specs ...string) State {
	state := State{Pods: []Pod{
		pod("x", "a", 1, here), pod("x", "b", 2, "node-2"), pod("y", "a", 3, here), pod("y", "b", 4, "node-2"),
	}}
	for _, name := range []string{"x", "y"} {
		state.Namespaces = append(state.Namespaces, Namespace{Metadata: Meta{Name: name, Labels: map[string]string{"ns": name}}})
	}
	for number, spec := range specs {
		policy := read[Policy](`{"spec": ` + spec + `}`)
		policy.Metadata = Meta{Name: fmt.Sprintf("p%d", number), Namespace: "x"}
		state.Policies = append(state.Policies, policy)
	}
	return state
}

// allowed returns what lets traffic through in a chain, without comments; nil where there is no such chain.
func allowed(t *testing.T, text, chain string) []string {
	t.Helper()
	_, rest, isThere := strings.Cut(text, "\tchain "+chain+" {\n")
	if !isThere {
		return nil
	}
	body, _, _ := strings.Cut(rest, "\n\t}")
	lines := strings.Split(body, "\n")
	if !strings.Contains(lines[len(lines)-1], "counter drop") {
		t.Fatalf("%s does not end in a drop:\n%s", chain, body)
	}
	found := []string{}
	for _, line := range lines[1 : len(lines)-1] {
		match, _, isReturn := strings.Cut(strings.TrimSpace(line), "return comment")
		if !isReturn {
			t.Fatalf("%s has a line that allows nothing: %s", chain, line)
		}
		found = append(found, strings.TrimSpace(match))
	}
	return found
}

func TestWhatARuleAllows(t *testing.T) {
	const in, out = "in-10.244.1.1", "out-10.244.1.1"
	cases := []struct {
		name, spec, chain string
		want              []string
	}{
		{"no policy", `{"podSelector": {"matchLabels": {"pod": "z"}}}`, in, nil},
		{"nothing in", `{"podSelector": {}, "policyTypes": ["Ingress"]}`, in, []string{}},
		{"nothing in, and out is open", `{"podSelector": {}, "policyTypes": ["Ingress"]}`, out, nil},
		{"nothing out", `{"podSelector": {}, "policyTypes": ["Egress"]}`, out, []string{}},
		{"nothing out, and in is open", `{"podSelector": {}, "policyTypes": ["Egress"]}`, in, nil},
		{"types left out mean in", `{"podSelector": {}}`, in, []string{}},
		{"types left out, with no way out", `{"podSelector": {}}`, out, nil},
		{"types left out, with a way out", `{"podSelector": {}, "egress": [{}]}`, out, []string{""}},
		{"a rule of a type that is not named", `{"podSelector": {}, "policyTypes": ["Ingress"], "egress": [{}]}`, out, nil},
		{"everything in", `{"podSelector": {}, "ingress": [{}]}`, in, []string{""}},
		{"pods of the namespace", `{"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}`, in,
			[]string{"ip saddr { 10.244.1.1, 10.244.1.2 }"}},
		{"a pod of the namespace", `{"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"pod": "b"}}}]}]}`, in,
			[]string{"ip saddr { 10.244.1.2 }"}},
		{"a namespace", `{"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]}`, in,
			[]string{"ip saddr { 10.244.1.3, 10.244.1.4 }"}},
		{"a pod of a namespace", `{"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"pod": "b"}},
			"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]}`, in, []string{"ip saddr { 10.244.1.4 }"}},
		{"a pod, or a namespace", `{"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"pod": "b"}}},
			{"namespaceSelector": {"matchLabels": {"ns": "y"}}}]}]}`, in, []string{"ip saddr { 10.244.1.2, 10.244.1.3, 10.244.1.4 }"}},
		{"nobody that is there", `{"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"pod": "z"}}}]}]}`, in,
			[]string{}},
		{"addresses", `{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.9/8"}}]}]}`, in,
			[]string{"ip saddr 10.0.0.0/8"}},
		{"addresses but for some", `{"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0",
			"except": ["10.0.0.0/8", "169.254.0.0/16"]}}]}]}`, out,
			[]string{"ip daddr 0.0.0.0/0 ip daddr != 10.0.0.0/8 ip daddr != 169.254.0.0/16"}},
		{"addresses of IPv6", `{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]}`, in, []string{}},
		{"ports", `{"podSelector": {}, "ingress": [{"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}]}`, in,
			[]string{"tcp dport 80", "udp dport 53"}},
		{"a range of ports", `{"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}`, in,
			[]string{"tcp dport 80-90"}},
		{"a range of one", `{"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 80}]}]}`, in,
			[]string{"tcp dport 80"}},
		{"a protocol", `{"podSelector": {}, "ingress": [{"ports": [{"protocol": "SCTP"}]}]}`, in, []string{"meta l4proto sctp"}},
		{"a name, of which there are two", `{"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]}`, in,
			[]string{"tcp dport 80", "tcp dport 82"}},
		{"a name of another protocol", `{"podSelector": {}, "ingress": [{"ports": [{"port": "names"}]}]}`, in, []string{}},
		{"a name that nobody bears", `{"podSelector": {}, "ingress": [{"ports": [{"port": "grpc"}]}]}`, in, []string{}},
		{"a name at the other end", `{"podSelector": {}, "egress": [{"to": [{"podSelector": {"matchLabels": {"pod": "b"}}}],
			"ports": [{"port": "names", "protocol": "UDP"}]}]}`, out, []string{"ip daddr 10.244.1.2 udp dport 53"}},
		{"a name anywhere", `{"podSelector": {"matchLabels": {"pod": "a"}}, "egress": [{"ports": [{"port": "names",
			"protocol": "UDP"}]}]}`, out, []string{"ip daddr 10.244.1.1 udp dport 53", "ip daddr 10.244.1.2 udp dport 53",
			"ip daddr 10.244.1.3 udp dport 53", "ip daddr 10.244.1.4 udp dport 53"}},
		{"a name within addresses", `{"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.244.1.0/29",
			"except": ["10.244.1.0/30"]}}], "ports": [{"port": "web"}]}]}`, out,
			[]string{"ip daddr 10.244.1.4 tcp dport 80", "ip daddr 10.244.1.4 tcp dport 82"}},
		{"peers and ports are both asked", `{"podSelector": {}, "egress": [{"to": [{"podSelector": {"matchLabels": {"pod": "b"}}},
			{"ipBlock": {"cidr": "1.2.3.4/32"}}], "ports": [{"port": 80}, {"port": 81}]}]}`, out,
			[]string{"ip daddr 1.2.3.4/32 tcp dport 80", "ip daddr { 10.244.1.2 } tcp dport 80",
				"ip daddr 1.2.3.4/32 tcp dport 81", "ip daddr { 10.244.1.2 } tcp dport 81"}},
		{"rules are alternatives", `{"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}, {"from": [{"ipBlock": {"cidr":
			"1.2.3.4/32"}}]}]}`, in, []string{"tcp dport 80", "ip saddr 1.2.3.4/32"}},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			found := allowed(t, Render(world(one.spec), here), one.chain)
			if (found == nil) != (one.want == nil) || !slices.Equal(found, one.want) {
				t.Errorf("%q, not %q", found, one.want)
			}
		})
	}
}

func TestEveryPodIsTheRangeWhereItIsKnown(t *testing.T) {
	state := world(`{"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}`)
	state.PodNetwork = "10.244.0.0/16"
	if found := allowed(t, Render(state, here), "in-10.244.1.1"); !slices.Equal(found, []string{"ip saddr 10.244.0.0/16"}) {
		t.Errorf("%q", found)
	}
	narrow := world(`{"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "b"}}}]}]}`)
	narrow.PodNetwork = state.PodNetwork
	want := []string{"ip saddr { 10.244.1.2, 10.244.1.4 }"}
	if found := allowed(t, Render(narrow, here), "in-10.244.1.1"); !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
}

func TestPoliciesAddUp(t *testing.T) {
	text := Render(world(`{"podSelector": {}}`, `{"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}`), here)
	if found := allowed(t, text, "in-10.244.1.1"); !slices.Equal(found, []string{"tcp dport 80"}) {
		t.Errorf("%q", found)
	}
}

func TestOnlyPodsOfTheNodeAndTheNamespaceHaveChains(t *testing.T) {
	text := Render(world(`{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}`), here)
	if strings.Count(text, "\tchain in-") != 1 || strings.Count(text, "\tchain out-") != 1 {
		t.Error(text)
	}
	if !strings.Contains(text, "ip saddr vmap { 10.244.1.1 : jump out-10.244.1.1 }\n\t\tip daddr vmap { 10.244.1.1 : jump in-") {
		t.Error(text)
	}
	elsewhere := Render(world(`{"podSelector": {}}`), "node-3")
	if strings.Contains(elsewhere, "drop") || !strings.Contains(elsewhere, "chain forward") {
		t.Error(elsewhere)
	}
}

func TestAnAddressHasOneOwner(t *testing.T) {
	lost := map[string]func(*Pod){
		"it has ended":       func(one *Pod) { one.Status.Phase = "Succeeded" },
		"it has failed":      func(one *Pod) { one.Status.Phase = "Failed" },
		"it is the node's":   func(one *Pod) { one.Spec.HostNetwork = true },
		"it has none yet":    func(one *Pod) { one.Status.PodIP = "" },
		"it is one of IPv6":  func(one *Pod) { one.Status.PodIP = "fd00::1" },
		"it leaves":          func(one *Pod) { one.Metadata.Deleted = "2026-01-02T00:00:00Z" },
		"another is younger": func(one *Pod) { one.Metadata.Created = "2025-12-31T00:00:00Z" },
	}
	lost["it keeps it"] = func(one *Pod) { one.Metadata.Created = "2026-01-02T00:00:00Z" }
	for name, change := range lost {
		t.Run(name, func(t *testing.T) {
			state := world(`{"podSelector": {"matchLabels": {"pod": "a"}}}`)
			change(&state.Pods[0])
			// The policy is one of the namespace x, and so closes this address while it is the first pod's.
			next := pod("y", "c", 1, here)
			next.Metadata.Created = "2026-01-01T00:00:00Z"
			state.Pods = append(state.Pods, next)
			for range 2 {
				want := 0
				if name == "it keeps it" {
					want = 1
				}
				if text := Render(state, here); strings.Count(text, "counter drop") != want {
					t.Error(text)
				}
				slices.Reverse(state.Pods)
			}
		})
	}
}

func TestTheOrderOfWhatComesInDoesNotMatter(t *testing.T) {
	state := world(`{"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}`, `{"podSelector": {}}`)
	first := Render(state, here)
	slices.Reverse(state.Pods)
	slices.Reverse(state.Policies)
	if second := Render(state, here); first != second {
		t.Errorf("%s\n%s", first, second)
	}
}

func TestALongNameIsCutInTheComment(t *testing.T) {
	state := world(`{"podSelector": {}, "ingress": [{}]}`)
	state.Policies[0].Metadata.Name = strings.Repeat("n", 253)
	if text := Render(state, here); strings.Contains(text, strings.Repeat("n", longestComment)) {
		t.Error(text)
	}
}

func TestSelectors(t *testing.T) {
	labels := map[string]string{"a": "1", "b": "2"}
	cases := map[string]bool{
		`{}`:                                    true,
		`{"matchLabels": {"a": "1"}}`:           true,
		`{"matchLabels": {"a": "2"}}`:           false,
		`{"matchLabels": {"c": ""}}`:            false,
		`{"matchLabels": {"a": "1", "b": "1"}}`: false,
		`{"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "3"]}]}`:                true,
		`{"matchExpressions": [{"key": "a", "operator": "In", "values": ["3"]}]}`:                     false,
		`{"matchExpressions": [{"key": "c", "operator": "In", "values": [""]}]}`:                      false,
		`{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}`:                  false,
		`{"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["3"]}]}`:                  true,
		`{"matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["1"]}]}`:                  true,
		`{"matchExpressions": [{"key": "a", "operator": "Exists"}]}`:                                  true,
		`{"matchExpressions": [{"key": "c", "operator": "Exists"}]}`:                                  false,
		`{"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}`:                            false,
		`{"matchExpressions": [{"key": "c", "operator": "DoesNotExist"}]}`:                            true,
		`{"matchExpressions": [{"key": "a", "operator": "Near"}]}`:                                    false,
		`{"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}`: false,
	}
	for text, want := range cases {
		if found := read[Selector](text).Matches(labels); found != want {
			t.Errorf("%s: %v", text, found)
		}
	}
}

func TestAPortIsANumberOrAName(t *testing.T) {
	var port NameOrPort
	if err := json.Unmarshal([]byte(`true`), &port); err == nil {
		t.Error("neither a number nor a name was taken")
	}
}
