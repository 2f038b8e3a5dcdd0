package pgcluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that the server runs as.
type account struct {
	uid, gid uint32
	as       mode
}

// mode is how the account differs from ourselves.
type mode int

const (
	ourselves  mode = iota
	switched        // we are root and step down to it
	namespaced      // we are root, and the server is too, but sees itself as the account
)

var errRoot = errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to step down to; run as another user")

// newAccount picks who runs a cluster that is to be made: we ourselves, or whom
// root can step down to.
func newAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, ok := lookupAccount(name); ok {
			return a, nil
		}
	}
	return account{}, errRoot
}

func lookupAccount(name string) (account, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, false
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil || uid == 0 {
		return account{}, false
	}
	return account{uint32(uid), uint32(gid), switched}, true
}

// ownerAccount picks who runs the cluster that is in data: only its owner can.
func ownerAccount(data string, info os.FileInfo) (account, error) {
	owner := info.Sys().(*syscall.Stat_t)
	a := account{uid: owner.Uid, gid: owner.Gid, as: switched}
	me := uint32(os.Geteuid())
	switch {
	case owner.Uid == 0 && me == 0: // we made it in a namespace
		stand, err := newAccount()
		if err != nil {
			return account{}, err
		}
		a = stand.inNamespace()
	case owner.Uid == me:
		a.as = ourselves
	case me != 0:
		return account{}, fmt.Errorf("%s belongs to user %d; run as that user or as root, or use another folder", data, owner.Uid)
	}
	if !a.reaches(data) {
		return account{}, fmt.Errorf("%s cannot be used by user %d, who must run its server; delete the folder, or move it to where that user can go", data, a.uid)
	}
	return a, nil
}

// inNamespace is root in a user namespace in which it has the account's number: it
// may go wherever root may, and PostgreSQL does not take it for root.
func (a account) inNamespace() account {
	a.as = namespaced
	return a
}

// own gives a path to the account.
func (a account) own(path string) error {
	if a.as != switched {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// apply makes cmd run as the account, in a process group of its own.
func (a account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	switch a.as {
	case switched:
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	case namespaced:
		a.enterNamespace(cmd.SysProcAttr)
	}
}

// reaches reports whether the account can go to dir, and be that account at all.
// Asking the kernel is surer than reading the mode of every folder on the way.
func (a account) reaches(dir string) bool {
	switch a.as {
	case ourselves:
		return true
	case namespaced:
		if !hasNamespaces {
			return false
		}
	}
	cmd := exec.Command("/bin/sh", "-c", ":") //nolint:noctx // takes a moment; a cancelled one would be taken for a no
	a.apply(cmd)
	cmd.Dir = dir
	return cmd.Run() == nil
}
