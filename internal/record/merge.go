package record

import (
	flowv1 "sonde.example/gen/go/sonde/flow/v1"
	queryv1 "sonde.example/gen/go/sonde/query/v1"
)

// Merge brings a stored result up to date with one that was put later, part by part, and tells which parts changed. It
// changes stored and may keep pointers into put. The order of calls does not matter, nor how often one is repeated: each
// part ends as the one with the greatest number.
func Merge(stored, put *queryv1.Result) (classification, counts bool) {
	if newerClassification(stored, put) {
		stored.State = put.GetState()
		stored.Classification = put.GetClassification()
		stored.Handshake = put.GetHandshake()
		stored.Failure = put.GetFailure()
		stored.Evidence = mergeEvidence(put.GetEvidence(), stored.GetEvidence())
		classification = true
	} else {
		stored.Evidence = mergeEvidence(stored.GetEvidence(), put.GetEvidence())
	}
	if newerCounts(stored, put) {
		stored.Forward, stored.Reverse = put.GetForward(), put.GetReverse()
		stored.Ended, stored.EndReason = put.GetEnded(), put.GetEndReason()
		stored.EndTime = put.GetEndTime()
		counts = true
	}
	return classification, counts
}

// newerClassification compares the numbers of the classification part: a classification beats a failure, a failure beats
// nothing, and of two alike the one that rests on more packets wins.
func newerClassification(stored, put *queryv1.Result) bool {
	rank := func(s queryv1.ResultState) int {
		switch s {
		case queryv1.ResultState_RESULT_STATE_CLASSIFIED:
			return 2
		case queryv1.ResultState_RESULT_STATE_FAILED:
			return 1
		}
		return 0
	}
	a, b := rank(stored.GetState()), rank(put.GetState())
	if a != b || a == 0 {
		return b > a
	}
	return put.GetEvidence().GetPacketsHeld() > stored.GetEvidence().GetPacketsHeld()
}

// newerCounts compares the numbers of the counts part: packets, and of equally many the ended one.
func newerCounts(stored, put *queryv1.Result) bool {
	a, b := Packets(stored), Packets(put)
	if a != b {
		return b > a
	}
	return put.GetEnded() && !stored.GetEnded()
}

// mergeEvidence keeps what goes with the head from the first and the larger of what grows with time.
func mergeEvidence(head, other *flowv1.Evidence) *flowv1.Evidence {
	if head == nil {
		return other
	}
	head.Gaps = max(head.GetGaps(), other.GetGaps())
	head.Drops = max(head.GetDrops(), other.GetDrops())
	return head
}
