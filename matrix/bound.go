package matrix

import "time"

// Bound compares a run's time with what it could not have been shorter than.
type Bound struct {
	Wall time.Duration `json:"wall"` // from the run's begin to its last verdict
	// Lower is the larger of Chain and CPU / Cores.
	Lower time.Duration `json:"lower"`
	// Ratio is Wall / Lower; 0 when nothing was attempted.
	Ratio float64 `json:"ratio"`
	// Longest is the client whose preparation and attempts, one after another,
	// took longest, and Chain what they took.
	Longest string        `json:"longest"`
	Chain   time.Duration `json:"chain"`
	CPU     time.Duration `json:"cpu"` // of all attempts: their processes, wardens and debuggers
	Cores   int           `json:"cores"`
}

// bound computes it from what each client took.
func bound(wall time.Duration, chains map[Client]time.Duration, cpu time.Duration, cores int) Bound {
	found := Bound{Wall: wall, CPU: cpu, Cores: cores}
	for client, chain := range chains {
		if chain > found.Chain || chain == found.Chain && client.String() < found.Longest {
			found.Longest, found.Chain = client.String(), chain
		}
	}
	found.Lower = max(found.Chain, cpu/time.Duration(max(1, cores)))
	if found.Lower > 0 {
		found.Ratio = float64(wall) / float64(found.Lower)
	}
	return found
}
