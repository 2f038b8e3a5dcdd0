package fairsim

import "container/heap"

// clock is simulated time in microseconds.
type clock int64

const (
	millisecond clock = 1000
	second      clock = 1000 * millisecond
)

// event is something that happens at a time. Events of one time happen in the order in which they were planned.
type event struct {
	at     clock
	number int
	do     func()
}

type queue struct {
	events eventHeap
	count  int
	now    clock
}

func (q *queue) plan(at clock, do func()) {
	q.count++
	heap.Push(&q.events, event{max(at, q.now), q.count, do})
}

// run lets everything happen until a time.
func (q *queue) run(until clock) {
	for len(q.events) > 0 && q.events[0].at <= until {
		e := heap.Pop(&q.events).(event)
		q.now = e.at
		e.do()
	}
	q.now = max(q.now, until)
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].number < h[j].number
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(v any)   { *h = append(*h, v.(event)) }
func (h *eventHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
