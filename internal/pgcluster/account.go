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
	switched bool // it is not who we are: we are root and step down
}

// chooseAccount picks who runs the cluster in data: its owner if it exists, else
// we ourselves, or whom root can step down to.
func chooseAccount(data string) (account, error) {
	me := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	info, err := os.Stat(data)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return account{}, err
	}
	if err == nil {
		st := info.Sys().(*syscall.Stat_t)
		return ownerAccount(me, account{uid: st.Uid, gid: st.Gid, switched: true}, data)
	}
	if me.uid != 0 {
		return me, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, ok := lookupAccount(name); ok {
			return a, nil
		}
	}
	return account{}, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to step down to; run as another user")
}

// ownerAccount: an existing cluster must be run by its owner.
func ownerAccount(me, owner account, data string) (account, error) {
	switch {
	case owner.uid == 0:
		return account{}, fmt.Errorf("%s belongs to root, and PostgreSQL refuses to run as root; delete the folder, or give it to another user", data)
	case owner.uid == me.uid:
		return me, nil
	case me.uid != 0:
		return account{}, fmt.Errorf("%s belongs to user %d; run as that user or as root, or use another folder", data, owner.uid)
	}
	return owner, nil
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
	return account{uint32(uid), uint32(gid), true}, true
}

// own gives a path to the account.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// apply makes cmd run as the account, in a process group of its own.
func (a account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// reaches reports whether the account can go to dir. Asking the kernel is surer
// than reading the mode of every folder on the way.
func (a account) reaches(dir string) bool {
	if !a.switched {
		return true
	}
	cmd := exec.Command("/bin/sh", "-c", ":")
	a.apply(cmd)
	cmd.Dir = dir
	return cmd.Run() == nil
}
