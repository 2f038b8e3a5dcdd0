package abci

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	cmtlog "github.com/cometbft/cometbft/libs/log"
)

// logger writes CometBFT's log lines to slog, and notices a consensus failure, for
// which CometBFT has no other sign: it stops voting and leaves the process running.
type logger struct {
	to   *slog.Logger
	fail *failure
}

type failure struct {
	once sync.Once
	ch   chan error
}

func newFailure() *failure { return &failure{ch: make(chan error, 1)} }

func (f *failure) report(err error) { f.once.Do(func() { f.ch <- err }) }

const consensusFailure = "CONSENSUS FAILURE"

func (l logger) Debug(msg string, kv ...any) { l.log(slog.LevelDebug, msg, kv) }
func (l logger) Info(msg string, kv ...any)  { l.log(slog.LevelDebug, msg, kv) }
func (l logger) Warn(msg string, kv ...any)  { l.log(slog.LevelWarn, msg, kv) }

// log formats nothing that is not shown: CometBFT has several debug lines for each message.
func (l logger) log(level slog.Level, msg string, kv []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, msg, snake(kv)...) //nolint:sloglint // the message is CometBFT's
	}
}

func (l logger) Error(msg string, kv ...any) {
	if strings.HasPrefix(msg, consensusFailure) {
		l.fail.report(fmt.Errorf("%s: %s", strings.TrimRight(msg, "!"), reason(kv)))
	}
	l.log(slog.LevelWarn, msg, kv)
}

func (l logger) With(kv ...any) cmtlog.Logger {
	return logger{l.to.With(snake(kv)...), l.fail}
}

// reason is the "err" of the log line, without the stack trace that follows it.
func reason(kv []any) string {
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "err" {
			return fmt.Sprint(kv[i+1])
		}
	}
	return "no reason given"
}

// snake gives CometBFT's keys the form of ours, and keeps bodies out of the log:
// transactions and proposals are named by CometBFT in some lines.
func snake(kv []any) []any {
	out := make([]any, 0, len(kv))
	for i := 0; i+1 < len(kv); i += 2 {
		key := strings.ReplaceAll(fmt.Sprint(kv[i]), " ", "_")
		switch key {
		case "tx", "txs", "proposal", "block", "stack", "msg", "res":
			continue
		}
		out = append(out, strings.ToLower(key), fmt.Sprint(kv[i+1]))
	}
	return out
}
