//go:build !linux

package pgcluster

import (
	"errors"
	"syscall"
)

const hasNamespaces = false

func (account) enterNamespace(*syscall.SysProcAttr) {}

func childrenOf(int) ([]int, error) {
	return nil, errors.New("no way here to find a server's processes")
}
