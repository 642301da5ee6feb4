package main

import (
	"fmt"
	"io"
	"time"
)

// tell writes a line for each outcome, and one for each thing that is wrong.
func tell(w io.Writer, outcomes []outcome) {
	for _, o := range outcomes {
		verdict := "ok"
		switch {
		case o.missed():
			verdict = "WITHOUT ITS CRASH"
		case !o.good():
			verdict = "WRONG"
		}
		fmt.Fprintf(w, "%-10s %-28s %-18s time %d: launched %d of %d, doubled %d, leaked %d, lost %d, %s: %s\n", o.fault, o.point, o.key(),
			o.times, o.launched, o.wanted(), o.doubled, o.leaked, o.lost, o.took.Round(100*time.Millisecond), verdict)
		for _, note := range o.notes {
			fmt.Fprintf(w, "    %s\n", note)
		}
	}
}

// wanted is how many launches are to take effect.
func (e experiment) wanted() int {
	if e.wantsCell() {
		return e.pods + 1
	}
	return e.pods
}

// summary adds outcomes up.
type summary struct {
	experiments, pods, launched, doubled, leaked, lost int
	// unreached are the experiments whose operator did not die, bad all that did not go well.
	unreached, bad int
	wrong          []outcome
}

func sumUp(outcomes []outcome) summary {
	var s summary
	for _, o := range outcomes {
		s.experiments++
		s.pods += o.wanted()
		s.launched += o.launched
		s.doubled += o.doubled
		s.leaked += o.leaked
		s.lost += o.lost
		if !o.crashed {
			s.unreached++
		}
		if !o.good() {
			s.bad++
			s.wrong = append(s.wrong, o)
		}
	}
	return s
}

func (s summary) print(w io.Writer) {
	if len(s.wrong) > 0 {
		fmt.Fprintln(w, "not as it should be:")
		tell(w, s.wrong)
	}
	fmt.Fprintf(w, "%d experiments: launched %d for %d, doubled %d, leaked %d, lost %d, crashes that did not come %d\n",
		s.experiments, s.launched, s.pods, s.doubled, s.leaked, s.lost, s.unreached)
}
