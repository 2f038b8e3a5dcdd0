package node

import (
	"testing"

	"github.com/scrimlabs/scrim/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
