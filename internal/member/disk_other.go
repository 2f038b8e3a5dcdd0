//go:build !linux && !darwin

package member

import "errors"

func freeSpace(string) (uint64, error) {
	return 0, errors.New("cannot be read on this system")
}
