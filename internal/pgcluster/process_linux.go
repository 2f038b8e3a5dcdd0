package pgcluster

import (
	"os"
	"syscall"
)

// hasNamespaces: the kernel may still refuse one, in a container for instance.
const hasNamespaces = true

func (a account) enterNamespace(attr *syscall.SysProcAttr) {
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(a.uid), HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(a.gid), HostID: os.Getegid(), Size: 1}}
}
