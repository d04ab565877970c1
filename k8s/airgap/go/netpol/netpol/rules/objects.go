// Package rules turns NetworkPolicies into one nftables table for the pods of one node.
//
// It is a pure function of what the API server holds, and knows no network: the watcher beside it asks, and nft writes.
// The objects are those of Kubernetes with the fields that matter here, so that no library of its size is needed.
package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// State is what the rules of a node are made of.
type State struct {
	Pods       []Pod       `json:"pods"`
	Namespaces []Namespace `json:"namespaces"`
	Policies   []Policy    `json:"policies"`
	// PodNetwork is the range that holds every pod, as in 10.244.0.0/16. A peer that means every pod is written as
	// this range, and so a pod is known to it from its first packet on. Empty: such a peer is written pod by pod.
	PodNetwork string `json:"podNetwork"`
}

// Meta is what all objects have.
type Meta struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	ResourceVersion string            `json:"resourceVersion"`
	Labels          map[string]string `json:"labels"`
	Created         string            `json:"creationTimestamp"`
	Deleted         string            `json:"deletionTimestamp"`
}

// Key names an object among those of its kind.
func (m Meta) Key() string { return m.Namespace + "/" + m.Name }

// Object is a Pod, a Namespace or a Policy.
type Object interface{ About() Meta }

// Pod is a pod with its address, its labels and the names of its ports.
type Pod struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		NodeName       string      `json:"nodeName"`
		HostNetwork    bool        `json:"hostNetwork"`
		Containers     []Container `json:"containers"`
		InitContainers []Container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
		PodIP string `json:"podIP"`
	} `json:"status"`
}

// Container is a container with its ports.
type Container struct {
	Ports []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	} `json:"ports"`
}

// Namespace is a namespace with its labels.
type Namespace struct {
	Metadata Meta `json:"metadata"`
}

// Policy is a NetworkPolicy of networking.k8s.io/v1.
type Policy struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		PodSelector Selector `json:"podSelector"`
		PolicyTypes []string `json:"policyTypes"`
		Ingress     []struct {
			From  []Peer `json:"from"`
			Ports []Port `json:"ports"`
		} `json:"ingress"`
		Egress []struct {
			To    []Peer `json:"to"`
			Ports []Port `json:"ports"`
		} `json:"egress"`
	} `json:"spec"`
}

// Peer is who may be at the other end: pods by their labels and those of their namespaces, or addresses.
type Peer struct {
	PodSelector       *Selector `json:"podSelector"`
	NamespaceSelector *Selector `json:"namespaceSelector"`
	IPBlock           *struct {
		CIDR   string   `json:"cidr"`
		Except []string `json:"except"`
	} `json:"ipBlock"`
}

// Port is a port by number or name, a range of ports, or a whole protocol.
type Port struct {
	Protocol string      `json:"protocol"`
	Port     *NameOrPort `json:"port"`
	EndPort  int         `json:"endPort"`
}

// NameOrPort is a number, or a name that the pod at the receiving end gives one of its ports.
type NameOrPort struct {
	Name   string
	Number int
}

// UnmarshalJSON reads a number or a name.
func (p *NameOrPort) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &p.Number); err == nil {
		return nil
	}
	if err := json.Unmarshal(text, &p.Name); err != nil {
		return fmt.Errorf("a port is neither a number nor a name: %s", text)
	}
	return nil
}

// About returns the metadata.
func (p Pod) About() Meta { return p.Metadata }

// About returns the metadata.
func (n Namespace) About() Meta { return n.Metadata }

// About returns the metadata.
func (p Policy) About() Meta { return p.Metadata }

// hasAddress says whether a pod has an address of its own: the node's is not, and that of a pod that has ended may be
// given to another.
func (p Pod) hasAddress() bool {
	isOver := p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed"
	address, err := netip.ParseAddr(p.Status.PodIP)
	return err == nil && address.Is4() && !p.Spec.HostNetwork && !isOver
}

// isRather says whether an address that two pods claim is rather this one's: the other is leaving, or older.
func (p Pod) isRather(other Pod) bool {
	if (p.Metadata.Deleted == "") != (other.Metadata.Deleted == "") {
		return p.Metadata.Deleted == ""
	}
	return p.Metadata.Created > other.Metadata.Created
}

// owners returns the pods that have an address, one for each, in the order of their names.
func owners(pods []Pod) []Pod {
	found := map[string]Pod{}
	for _, pod := range pods {
		if known, isKnown := found[pod.Status.PodIP]; pod.hasAddress() && (!isKnown || pod.isRather(known)) {
			found[pod.Status.PodIP] = pod
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Pod) int {
		return strings.Compare(a.Metadata.Key(), b.Metadata.Key())
	})
}

// portNumbers returns the ports of that name and protocol.
func (p Pod) portNumbers(name, protocol string) []int {
	var found []int
	for _, container := range append(append([]Container{}, p.Spec.InitContainers...), p.Spec.Containers...) {
		for _, port := range container.Ports {
			if port.Name == name && orTCP(port.Protocol) == protocol {
				found = append(found, port.ContainerPort)
			}
		}
	}
	return found
}

// concerns says whether the policy speaks of traffic in that direction.
func (p Policy) concerns(way direction) bool {
	for _, named := range p.Spec.PolicyTypes {
		if named == way.policyType {
			return true
		}
	}
	// What the API server fills in where a policy names none.
	return len(p.Spec.PolicyTypes) == 0 && (way == ingress || len(p.Spec.Egress) > 0)
}

// rules returns the rules of one direction.
func (p Policy) rules(way direction) []rule {
	var found []rule
	if way == ingress {
		for _, one := range p.Spec.Ingress {
			found = append(found, rule{one.From, one.Ports})
		}
		return found
	}
	for _, one := range p.Spec.Egress {
		found = append(found, rule{one.To, one.Ports})
	}
	return found
}

func orTCP(protocol string) string {
	if protocol == "" {
		return "TCP"
	}
	return protocol
}
