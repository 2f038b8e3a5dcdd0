package fairsim

import "math/rand/v2"

// network is who hears whom how late. All figures are made up.
type network struct {
	rng      *rand.Rand
	links    [][]clock // one way, between members
	clients  [][]clock // from a client to a member
	cut      func(member int, at clock) (until clock, cut bool)
	tail     int // one in so many messages takes five times as long
	slowness clock
}

const clients = 16

// newNetwork has members 5 to 40 ms and what they are farther apart, and clients 5 to 60 ms from members; each message
// takes up to 8 ms more, and some five times as long.
func newNetwork(rng *rand.Rand, members int, farther clock) *network {
	n := &network{rng: rng, tail: 50, slowness: 8 * millisecond}
	between := func(low, high clock) clock { return low + clock(rng.Int64N(int64(high-low))) }
	n.links = make([][]clock, members)
	for i := range n.links {
		n.links[i] = make([]clock, members)
		for j := range i {
			n.links[i][j] = farther + between(5*millisecond, 40*millisecond)
			n.links[j][i] = n.links[i][j]
		}
	}
	n.clients = make([][]clock, clients)
	for i := range n.clients {
		for range members {
			n.clients[i] = append(n.clients[i], between(5*millisecond, 60*millisecond))
		}
	}
	return n
}

func (n *network) late(base clock) clock {
	d := base + clock(n.rng.Int64N(int64(n.slowness)))
	if n.rng.IntN(n.tail) == 0 {
		d *= 5
	}
	return d
}

// arrives is when a message of now from a member reaches another one. What a partition holds up arrives after it.
func (n *network) arrives(now clock, from, to int) clock {
	at := now + n.late(n.links[from][to])
	if n.cut != nil && from != to {
		for _, m := range []int{from, to} {
			if until, is := n.cut(m, now); is {
				at = max(at, until+n.late(n.links[from][to]))
			}
			if until, is := n.cut(m, at); is {
				at = max(at, until+n.late(n.links[from][to]))
			}
		}
	}
	return at
}

func (n *network) fromClient(now clock, client, to int) clock {
	return now + n.late(n.clients[client%clients][to])
}
