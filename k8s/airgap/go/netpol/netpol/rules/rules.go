package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Table is the one table that is written; no other is touched.
const Table = "podium-netpol"

// longestComment is what nft takes, less its quotes.
const longestComment = 120

// direction is a way that traffic goes, seen from the pod that a policy selects.
type direction struct{ policyType, chain, own, other string }

var (
	ingress = direction{"Ingress", "in", "daddr", "saddr"}
	egress  = direction{"Egress", "out", "saddr", "daddr"}
)

type rule struct {
	peers []Peer
	ports []Port
}

// Render returns what `nft -f` reads to replace the table in one transaction.
//
// Each pod of the node that a policy selects has a chain for each direction that is closed: a rule that allows returns
// from it, and what reaches its end is dropped. Judged are new connections that are forwarded, after a Service's address
// has become a pod's, and new connections from a pod to its own node. What a node itself sends to its pods is never
// forwarded, so probes pass, as they must.
func Render(state State, node string) string {
	m := made{state: state, namespaces: map[string]map[string]string{}}
	for _, one := range state.Namespaces {
		m.namespaces[one.Metadata.Name] = one.Metadata.Labels
	}
	m.state.Pods = owners(state.Pods)
	m.state.Policies = slices.SortedFunc(slices.Values(state.Policies), func(a, b Policy) int {
		return strings.Compare(a.Metadata.Key(), b.Metadata.Key())
	})

	jumps := map[direction][]string{}
	var chains strings.Builder
	for _, pod := range m.state.Pods {
		if pod.Spec.NodeName != node {
			continue
		}
		for _, way := range []direction{ingress, egress} {
			if lines, isClosed := m.chain(pod, way); isClosed {
				name := way.chain + "-" + pod.Status.PodIP
				jumps[way] = append(jumps[way], pod.Status.PodIP+" : jump "+name)
				fmt.Fprintf(&chains, "\tchain %s {\n\t\t%s\n\t}\n", name, strings.Join(lines, "\n\t\t"))
			}
		}
	}

	var text strings.Builder
	fmt.Fprintf(&text, "add table inet %[1]s\ndelete table inet %[1]s\ntable inet %[1]s {\n%s", Table, chains.String())
	base(&text, "forward", jumps, egress, ingress)
	base(&text, "input", jumps, egress)
	text.WriteString("}\n")
	return text.String()
}

// base writes a chain that traffic enters by; its priority is behind that of every translation of addresses.
func base(text *strings.Builder, hook string, jumps map[direction][]string, ways ...direction) {
	fmt.Fprintf(text, "\tchain %[1]s {\n\t\ttype filter hook %[1]s priority 10; policy accept;\n", hook)
	text.WriteString("\t\tct state established,related accept\n")
	for _, way := range ways {
		if len(jumps[way]) > 0 {
			fmt.Fprintf(text, "\t\tip %s vmap { %s }\n", way.own, strings.Join(jumps[way], ", "))
		}
	}
	text.WriteString("\t}\n")
}

type made struct {
	state      State
	namespaces map[string]map[string]string
}

// chain returns the rules of a pod in one direction, and whether any policy closes it.
func (m made) chain(pod Pod, way direction) ([]string, bool) {
	isClosed := false
	// A pod may always reach itself, also by way of a Service.
	lines := []string{fmt.Sprintf("ip %s %s return", way.other, pod.Status.PodIP)}
	for _, policy := range m.state.Policies {
		isSelected := policy.Metadata.Namespace == pod.Metadata.Namespace &&
			policy.Spec.PodSelector.Matches(pod.Metadata.Labels)
		if !isSelected || !policy.concerns(way) {
			continue
		}
		isClosed = true
		for _, one := range policy.rules(way) {
			for _, match := range m.matches(one, policy.Metadata.Namespace, pod, way) {
				lines = append(lines, strings.TrimLeft(match+" return", " ")+comment(policy.Metadata.Key()))
			}
		}
	}
	return append(lines, "counter drop"+comment(pod.Metadata.Key())), isClosed
}

// matches returns the conditions of which any allows what a rule allows.
func (m made) matches(one rule, namespace string, pod Pod, way direction) []string {
	peers := m.peers(one.peers, namespace, way)
	if len(one.ports) == 0 {
		return peers
	}
	var found []string
	for _, port := range one.ports {
		if port.Port != nil && port.Port.Name != "" && way == egress {
			found = append(found, m.namedEgress(one.peers, namespace, port)...)
			continue
		}
		for _, match := range numbered(port, pod) {
			for _, peer := range peers {
				found = append(found, strings.TrimLeft(peer+" "+match, " "))
			}
		}
	}
	return found
}

// numbered returns the conditions of a port; a name is that of a port of the pod that is asked.
func numbered(port Port, receiver Pod) []string {
	protocol := orTCP(port.Protocol)
	word := strings.ToLower(protocol)
	switch {
	case port.Port == nil:
		return []string{"meta l4proto " + word}
	case port.Port.Name != "":
		var found []string
		for _, number := range receiver.portNumbers(port.Port.Name, protocol) {
			found = append(found, fmt.Sprintf("%s dport %d", word, number))
		}
		return found
	case port.EndPort > port.Port.Number:
		return []string{fmt.Sprintf("%s dport %d-%d", word, port.Port.Number, port.EndPort)}
	}
	return []string{fmt.Sprintf("%s dport %d", word, port.Port.Number)}
}

// namedEgress returns the conditions of a port by its name: which number that is, each pod that is asked says itself.
func (m made) namedEgress(peers []Peer, namespace string, port Port) []string {
	var found []string
	for _, receiver := range m.state.Pods {
		isMeant := len(peers) == 0
		for _, peer := range peers {
			isMeant = isMeant || m.isPeer(receiver, peer, namespace)
		}
		if isMeant {
			for _, match := range numbered(port, receiver) {
				found = append(found, fmt.Sprintf("ip daddr %s %s", receiver.Status.PodIP, match))
			}
		}
	}
	return found
}

// peers returns the conditions of who is at the other end: one that is empty for everybody, none for nobody.
func (m made) peers(peers []Peer, namespace string, way direction) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	var found, addresses []string
	for _, peer := range peers {
		switch {
		case peer.IPBlock != nil:
			found = append(found, block(peer, way)...)
		case m.state.PodNetwork != "" && isEveryPod(peer):
			found = append(found, fmt.Sprintf("ip %s %s", way.other, m.state.PodNetwork))
		default:
			for _, pod := range m.state.Pods {
				if m.isPeer(pod, peer, namespace) {
					addresses = append(addresses, pod.Status.PodIP)
				}
			}
		}
	}
	if len(addresses) > 0 {
		slices.Sort(addresses)
		found = append(found, fmt.Sprintf("ip %s { %s }", way.other, strings.Join(slices.Compact(addresses), ", ")))
	}
	return found
}

func isEveryPod(peer Peer) bool {
	return peer.NamespaceSelector != nil && peer.NamespaceSelector.isEverything() &&
		(peer.PodSelector == nil || peer.PodSelector.isEverything())
}

// isPeer says whether a pod is one that a peer means, seen from a policy's namespace.
func (m made) isPeer(pod Pod, peer Peer, namespace string) bool {
	if peer.IPBlock != nil {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		return err == nil && isWithin(address, peer.IPBlock.CIDR) &&
			!slices.ContainsFunc(peer.IPBlock.Except, func(one string) bool { return isWithin(address, one) })
	}
	if peer.NamespaceSelector == nil && pod.Metadata.Namespace != namespace {
		return false
	}
	if peer.NamespaceSelector != nil && !peer.NamespaceSelector.Matches(m.namespaces[pod.Metadata.Namespace]) {
		return false
	}
	return peer.PodSelector == nil || peer.PodSelector.Matches(pod.Metadata.Labels)
}

func isWithin(address netip.Addr, cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(address)
}

// block returns the condition of a range of addresses; those of IPv6 reach no pod here.
func block(peer Peer, way direction) []string {
	prefix, err := netip.ParsePrefix(peer.IPBlock.CIDR)
	if err != nil || !prefix.Addr().Is4() {
		return nil
	}
	match := fmt.Sprintf("ip %s %s", way.other, prefix.Masked())
	for _, one := range peer.IPBlock.Except {
		if left, err := netip.ParsePrefix(one); err == nil {
			match += fmt.Sprintf(" ip %s != %s", way.other, left.Masked())
		}
	}
	return []string{match}
}

func comment(text string) string {
	return fmt.Sprintf(" comment %q", text[:min(len(text), longestComment)])
}
