package rules

import "slices"

// Selector chooses by labels, as a LabelSelector does; an empty one chooses everything.
type Selector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// Matches says whether labels are chosen. An operator that is not known chooses nothing.
func (s Selector) Matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if found, isThere := labels[key]; !isThere || found != value {
			return false
		}
	}
	for _, term := range s.MatchExpressions {
		value, isThere := labels[term.Key]
		var holds bool
		switch term.Operator {
		case "In":
			holds = isThere && slices.Contains(term.Values, value)
		case "NotIn":
			holds = !isThere || !slices.Contains(term.Values, value)
		case "Exists":
			holds = isThere
		case "DoesNotExist":
			holds = !isThere
		}
		if !holds {
			return false
		}
	}
	return true
}

// isEverything says whether the selector leaves nothing out.
func (s Selector) isEverything() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }
