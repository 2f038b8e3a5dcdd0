package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
)

// ErrRecover says that a share cannot be rebuilt from what a node has.
var ErrRecover = errors.New("the share cannot be recovered")

// Recovery rebuilds a member's share of a committee from what was said in its ceremony,
// which is in the log: dealers encrypted it to the member's keys. It believes the node only
// as far as the committee's certificate proves it, and that as far as the known terms do.
type Recovery struct {
	Home  *home.Home
	Nodes []*client.Client
	Known *keygen.Terms // of the chain's first committee
	Epoch uint64        // of the committee; 0: the one in office
}

// Recovered is what came of it.
type Recovered struct {
	Path        string // of the share file
	Certificate *keygen.Certificate
	Member      uint32
	Existed     bool // the file was there already, and is the right one
}

// Run asks the nodes in turn. It never overwrites a file.
func (r *Recovery) Run(ctx context.Context) (*Recovered, error) {
	var problems []error
	for _, node := range r.Nodes {
		done, err := r.from(ctx, node)
		if err == nil {
			return done, nil
		}
		problems = append(problems, fmt.Errorf("%s: %w", node.URL(), err))
		if errors.Is(err, keygen.ErrNotMember) || errors.Is(err, sharefile.ErrExists) {
			break // another node does not change that
		}
	}
	return nil, errors.Join(problems...)
}

func (r *Recovery) from(ctx context.Context, node *client.Client) (*Recovered, error) {
	line, err := succession.Fetch(ctx, node)
	if err != nil {
		return nil, err
	}
	if line.Pin() != r.Known.Pin() {
		return nil, fmt.Errorf("%w: the node is of another chain than the genesis of this home", ErrOtherTerms)
	}
	c := line.Office()
	if r.Epoch != 0 {
		if c = line.Epoch(r.Epoch); c == nil {
			return nil, fmt.Errorf("%w: there is no committee of epoch %d", ErrRecover, r.Epoch)
		}
	}
	secret, err := r.Home.Secret()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	index, err := c.Terms.IndexOf(secret)
	if err != nil {
		return nil, fmt.Errorf("%w; this home has no share of the committee of epoch %d", err, c.Terms.Epoch)
	}
	out := &Recovered{Path: r.Home.ShareFile(c.Terms), Certificate: c, Member: index}
	switch _, err := CheckShare(r.Home, out.Path, c); {
	case err == nil:
		out.Existed = true
		return out, nil
	case !errors.Is(err, sharefile.ErrNotFound):
		return nil, fmt.Errorf("%w: %w; move %s away, it is not overwritten", sharefile.ErrExists, err, out.Path)
	}
	return out, r.rebuild(ctx, node, secret, out)
}

func (r *Recovery) rebuild(ctx context.Context, node *client.Client, secret *keygen.MemberSecret, out *Recovered) error {
	c := out.Certificate
	state, err := transcript(ctx, node, c)
	if err != nil {
		return err
	}
	share, err := keygen.RecoverShare(secret, state)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRecover, err)
	}
	defer share.Wipe()
	if share.Member() != out.Member || !bytes.Equal(share.MemberKey().Bytes(), c.Committee.Members[out.Member-1].Bytes()) {
		return fmt.Errorf("%w: what the node has of the ceremony gives a share that does not fit this member's key; ask another node", ErrRecover)
	}
	_, recipients, err := r.Home.Identities()
	if err != nil {
		return err
	}
	meta := sharefile.ShareMeta{ChainID: c.Terms.ChainID, Ceremony: c.Terms.Hash(), Epoch: c.Terms.Epoch}
	if err := sharefile.WriteShare(out.Path, meta, share, recipients); err != nil {
		return err
	}
	_, err = CheckShare(r.Home, out.Path, c)
	return err
}

// transcript asks for all that was said in the ceremony of a committee, and checks that it
// came to this certificate.
func transcript(ctx context.Context, node *client.Client, c *keygen.Certificate) (*keygen.State, error) {
	id := c.Terms.Hash()
	wire, err := node.Transcript(ctx, v1.HexOf(id[:]))
	if err != nil {
		return nil, err
	}
	state, err := keygen.ParseState(wire)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecover, err)
	}
	got := state.Certificate()
	if got == nil {
		return nil, fmt.Errorf("%w: the node's record of the ceremony has no certificate", ErrRecover)
	}
	have, err := got.MarshalBinary()
	if err != nil {
		return nil, err
	}
	want, err := c.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(have, want) {
		return nil, fmt.Errorf("%w: the node's record of the ceremony came to another certificate; ask another node", ErrRecover)
	}
	return state, nil
}
