package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	ternmigrate "github.com/jackc/tern/v2/migrate"

	"github.com/scrimlabs/scrim/migrations"
)

const versionTable = "public.schema_version"

// migrate applies the migrations that the database does not have. tern holds an
// advisory lock while it does, so that of several starters one works and the
// others find the work done.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	m, err := ternmigrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if err := m.LoadMigrations(migrations.FS); err != nil {
		return fmt.Errorf("load migrations: %w", err)
	}
	have, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if known := len(m.Migrations); int(have) > known {
		return fmt.Errorf("%w: its schema is version %d, this program knows up to %d; run the newer program, or restore a backup from before it",
			ErrNewerSchema, have, known)
	}
	if err := m.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}
