//go:build !linux

package pgcluster

import "syscall"

const hasNamespaces = false

func (account) enterNamespace(*syscall.SysProcAttr) {}
