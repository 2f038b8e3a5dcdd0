package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"

	"github.com/scrimlabs/scrim/httpapi"
)

// Order says why a transaction stands where it stands.
func (b backend) Order(ctx context.Context, id threshold.ID, other *threshold.ID) (v1.Order, error) {
	s := b.n.state()
	out := v1.Order{ID: v1.HexOf(id[:]), State: v1.OrderUnstated}
	t, err := b.n.store.Transaction(ctx, id)
	switch {
	case errors.Is(err, pg.ErrNotFound):
		if logs, ok := s.ReceiveLogs(); !ok || len(logs.Holders(id)) == 0 && !s.IsQueued(id) {
			return out, httpapi.Errorf("not_found", "this node knows no transaction 0x%s; it may be at another member, or not have been submitted", id)
		}
		t = &pg.Transaction{ID: id}
	case err != nil:
		return out, err
	}
	switch {
	case t.Dropped != "" && t.Height == 0:
		out.State = v1.OrderDropped
		return out, nil
	case t.Height == 0:
		return out, b.waiting(ctx, s, id, &out)
	}
	out.State, out.Height = v1.OrderOrdered, &t.Height
	if t.Revealed {
		out.Place = &t.Place
	}
	frames, err := b.frames(ctx, t.Height)
	if err != nil {
		return out, err
	}
	at := frameOf(frames, id)
	if at < 0 {
		return out, fmt.Errorf("order of 0x%s: no frame of batch %d has it", id, t.Height)
	}
	if err := b.decided(ctx, frames[at], id, t.Height, &out); err != nil {
		return out, err
	}
	if other != nil && *other != id {
		out.Other, err = b.between(ctx, s, t, frames, *other)
	}
	return out, err
}

// waiting is how far an id that is in no batch has come.
func (b backend) waiting(ctx context.Context, s *ordering.State, id threshold.ID, out *v1.Order) error {
	if f := s.QueuedSet(id); f != nil {
		out.State = v1.OrderDecided
		return b.decided(ctx, f, id, s.Height(), out)
	}
	logs, ok := s.ReceiveLogs()
	if !ok {
		return nil
	}
	st, err := logs.Status(id)
	if err != nil {
		return nil //nolint:nilerr // in no committed log
	}
	out.State, out.Time = v1.OrderStated, timeOf(st.Time)
	solid := uint32(logs.Params().Solid)
	if logs.Rule() == fair.ReceiveTime {
		solid = uint32(logs.Params().Freezes())
	}
	out.Wait = &v1.OrderWait{
		Held: uint32(st.Held), Solid: solid,
		SolidAt: unlessZero(st.SolidAt), DueAt: unlessZero(st.DueAt), ForgottenAt: unlessZero(st.ForgottenAt), WaitsFor: hexes(st.WaitsFor),
	}
	return b.logs(ctx, id, s.Height()+1, st.Logs, out)
}

// decided is what the set with which an id was decided says of it, and where the logs had it when blocks up to a height were in.
func (b backend) decided(ctx context.Context, f fair.Set, id threshold.ID, height uint64, out *v1.Order) error {
	out.Forced = f.IsForced()
	switch f := f.(type) {
	case *fair.Frame:
		return b.logs(ctx, id, height, places(f, id), out)
	case *fair.TimedFrame:
		key, _ := f.Key(id)
		out.Time = timeOf(key)
	}
	return b.logs(ctx, id, height, nil, out)
}

// logs says where the members' receive logs have an id, as they were after the block of a height.
func (b backend) logs(ctx context.Context, id threshold.ID, height uint64, places []uint32, out *v1.Order) error {
	o, entries, t, err := b.positions(ctx, id, height, places)
	if err != nil {
		return fmt.Errorf("positions of 0x%s: %w", id, err)
	}
	from := t.after + 1
	out.Epoch, out.SearchedFrom = &o.epoch, &from
	for i, e := range entries {
		l := v1.LogPlace{Member: uint32(i + 1)}
		if places != nil && places[i] > 0 {
			l.Place = &places[i]
		}
		if e != nil {
			l.Position, l.Time = &e.position, timeOf(e.time)
		}
		out.Logs = append(out.Logs, l)
	}
	return nil
}

// between compares a transaction with another one; nil if they cannot be compared yet.
func (b backend) between(ctx context.Context, s *ordering.State, t *pg.Transaction, frames []fair.Set, other threshold.ID) (*v1.OrderBetween, error) {
	u, err := b.n.store.Transaction(ctx, other)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, httpapi.Errorf("not_found", "this node knows no transaction 0x%s, with which the other one is to be compared", other)
	}
	if err != nil || u.Height == 0 {
		return nil, err
	}
	if u.Height != t.Height {
		return b.counted(ctx, inTurn("blocks", t.ID, other, t.Height < u.Height), t.Height, u.Height)
	}
	i, j := frameOf(frames, t.ID), frameOf(frames, other)
	if i != j {
		return b.counted(ctx, inTurn("frames", t.ID, other, i < j), t.Height, t.Height)
	}
	batch, err := b.n.store.Batch(ctx, t.Height)
	if err != nil || batch.RevealHeight == 0 {
		return nil, err // the beacon is not known
	}
	f := frames[i]
	e, err := f.Explain(s.Genesis().Params.Fair(max(1, f.LogCount())), commitreveal.Beacon(batch.Certificate), t.ID, other)
	if err != nil {
		return nil, err
	}
	out := inTurn(e.Reason.String(), e.First.ID, e.Second.ID, true)
	out.Forward, out.Backward, out.Chain, out.Component = uint32(e.Forward), uint32(e.Backward), hexes(e.Chain), hexes(e.Component)
	if e.Reason == fair.ByBeacon {
		out.Won, out.Lost = v1.HexOf(e.Won[:]), v1.HexOf(e.Lost[:])
	}
	if f.Rule() == fair.ReceiveTime { // a frame of times does not know the logs
		return b.counted(ctx, out, t.Height, t.Height)
	}
	return out, nil
}

// counted adds how many logs have one id before the other, where their frame does not say it.
func (b backend) counted(ctx context.Context, o *v1.OrderBetween, one, two uint64) (_ *v1.OrderBetween, err error) {
	o.Forward, o.Backward, err = b.votes(ctx, threshold.ID(o.First), threshold.ID(o.Second), min(one, two), max(one, two))
	return o, err
}

func inTurn(reason string, a, b threshold.ID, aFirst bool) *v1.OrderBetween {
	if !aFirst {
		a, b = b, a
	}
	return &v1.OrderBetween{First: v1.HexOf(a[:]), Second: v1.HexOf(b[:]), Reason: reason}
}

func (b backend) frames(ctx context.Context, height uint64) ([]fair.Set, error) {
	wire, err := b.n.store.Frames(ctx, height)
	if err != nil {
		return nil, err
	}
	return ordering.ParseFrames(b.n.state().Genesis().Params, wire)
}

// frameOf finds an id; -1 if no frame has it.
func frameOf(frames []fair.Set, id threshold.ID) int {
	return slices.IndexFunc(frames, func(f fair.Set) bool { return slices.Contains(f.Content(), id) })
}

// places gives for each member where its log had the id among those of the frame, from 1; 0 if it did not.
func places(f *fair.Frame, id threshold.ID) []uint32 {
	x := uint32(slices.Index(f.IDs, id))
	out := make([]uint32, len(f.Logs))
	for i, log := range f.Logs {
		out[i] = uint32(slices.Index(log, x) + 1)
	}
	return out
}

func hexes(ids []threshold.ID) (out []v1.Hex) {
	for _, id := range ids {
		out = append(out, v1.HexOf(id[:]))
	}
	return out
}

// timeOf is the time of a fixed key, from milliseconds since 1970; nil for 0.
func timeOf(key uint64) *v1.Time {
	if key == 0 {
		return nil
	}
	t := v1.UnixMilli(int64(key))
	return &t
}

func unlessZero(v uint64) *uint64 {
	if v == 0 {
		return nil
	}
	return &v
}
