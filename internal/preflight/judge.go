package preflight

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Judge says what the links of all nodes mean, each cause once: a node that another does not reach in
// any way is one finding and not one a port, and a port that nobody reaches is the port's.
func Judge(links []Link, maxLatency time.Duration) []Finding {
	var a Answer
	type pair struct{ from, to string }
	byPair := map[pair][]Link{}
	for _, l := range links {
		if l.Over != "service" {
			p := pair{l.From, l.To}
			byPair[p] = append(byPair[p], l)
		}
	}
	cut := map[pair]bool{}
	for p, all := range byPair {
		cut[p] = !slices.ContainsFunc(all, func(l Link) bool { return l.Lost < l.Sent })
	}
	for _, l := range links {
		p := pair{l.From, l.To}
		target := l.From + " to " + l.To
		add := func(id, target, format string, args ...any) {
			a.Add(id, target, format, args...).Node = l.From
		}
		switch {
		case l.Over != "service" && cut[p]:
			if l == byPair[p][0] {
				add("reach-cut", target, "nothing arrives, over %s: %s", strings.Join(overs(byPair[p]), ", "), l.Why)
			}
		case l.Lost == 0 && maxLatency > 0 && l.Median > maxLatency:
			add("reach-latency", target+" over "+l.Over, "the median is %v, %v is wanted", l.Median.Round(time.Millisecond), maxLatency)
		case l.Lost == 0:
			a.Pass(CheckReach, l.To+" over "+l.Over, "%d probes came back", l.Sent)
			a.Findings[len(a.Findings)-1].Node = l.From
		case strings.HasPrefix(l.Why, "something else answered"):
			add("reach-stranger", l.To+" over "+l.Over, "%d of %d probes: %s", l.Lost, l.Sent, l.Why)
		case l.Over == "service":
			add("reach-service", l.To, "%d of %d probes were lost: %s", l.Lost, l.Sent, l.Why)
		case l.Lost == l.Sent:
			add("reach-port", l.To+" over "+l.Over, "no probe came back, other ways to it are open: %s", l.Why)
		default:
			add("reach-loss", target+" over "+l.Over, "%d of %d probes were lost: %s", l.Lost, l.Sent, l.Why)
		}
	}
	return a.Findings
}

func overs(links []Link) []string {
	all := make([]string, 0, len(links))
	for _, l := range links {
		all = append(all, l.Over)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return all
}
