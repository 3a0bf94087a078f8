package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// A build may print anything, and as much as it likes. BuildKit keeps 2 MiB of a step's output, unless the builder's
// BUILDKIT_STEP_LOG_MAX_SIZE says otherwise (moby/buildkit, util/progress/logs).
const (
	maxLine   = 8 << 10  // bytes of a line that the log keeps
	maxOutput = 64 << 20 // bytes of a build that the log keeps
)

// ErrStalled is the error of a build that was ended because it printed nothing.
var ErrStalled = errors.New("the build printed nothing for longer than stall-timeout allows")

// Output is what one build prints. It goes to the build's log, with long lines cut.
type Output struct {
	log          io.Writer
	stallTimeout time.Duration
	end          context.CancelCauseFunc
	stalled      *time.Timer // nil before BuildKit's first line, or where no time-out was asked for

	line   []byte // what the log keeps of the current line, which is written at its end: a secret may come in two parts
	length int    // of the current line so far
	kept   int    // bytes in the log
	lost   int    // bytes that are not in the log, because it had maxOutput
}

// NewOutput returns the output of a build. The returned context ends with ErrStalled if nothing is printed for stallTimeout
// after BuildKit's first line. 0 is no limit. Call Close after the build.
func NewOutput(ctx context.Context, log io.Writer, stallTimeout time.Duration) (context.Context, *Output) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &Output{log: log, stallTimeout: stallTimeout, end: end}
}

// buildKitLine matches the beginning of a line of BuildKit's plain progress: "#0 building with". The SDK puts "[stderr]" before
// it, and some loggers the time.
var buildKitLine = regexp.MustCompile(`(?:^|[\s\]])#[0-9]+ `)

// lineHead is how many bytes of a line tell whether BuildKit printed it.
const lineHead = 64

// Write writes whole lines to the log. It returns no error: a build may succeed although its log cannot be written.
func (o *Output) Write(p []byte) (int, error) {
	var kept bytes.Buffer
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		o.add(part)
		if ended {
			o.endLine(&kept)
		}
		rest = after
	}
	if o.stalled != nil {
		o.stalled.Reset(o.stallTimeout)
	}
	o.write(kept.Bytes())
	return len(p), nil
}

// add adds a part of the current line.
func (o *Output) add(part []byte) {
	o.line = append(o.line, part[:min(len(part), maxLine-len(o.line))]...)
	o.length += len(part)
	if o.stallTimeout > 0 && o.stalled == nil && buildKitLine.Match(o.line[:min(len(o.line), lineHead)]) {
		o.stalled = time.AfterFunc(o.stallTimeout, func() { o.end(ErrStalled) })
	}
}

// userInfo matches the user and password of a URL, which may contain "@" (net/url takes the last one). A user without a password is
// a token. The SDK prints what docker buildx inspect says, which has the proxies of the run's own builder. cutURL matches a URL whose
// host is not reached at the end of a line that was cut.
var (
	userInfo = regexp.MustCompile(`://[^\s/"<>]*@`)
	cutURL   = regexp.MustCompile(`://[^\s/"<>]*$`)
)

// endLine adds the current line to kept, without secrets.
func (o *Output) endLine(kept *bytes.Buffer) {
	line, over := userInfo.ReplaceAll(o.line, []byte("://***@")), o.length-len(o.line)
	if over > 0 {
		line = cutURL.ReplaceAll(line, []byte("://***"))
		line = fmt.Appendf(line, " [eval-images] %d more bytes of this line are left out", over)
	}
	kept.Write(append(line, '\n'))
	o.line, o.length = o.line[:0], 0
}

func (o *Output) write(kept []byte) {
	if o.lost > 0 || o.kept+len(kept) > maxOutput {
		o.lost += len(kept)
		return
	}
	o.kept += len(kept)
	_, _ = o.log.Write(kept)
}

// Close writes the last line, notes in the log how much was left out, and ends the context.
func (o *Output) Close() {
	if o.stalled != nil {
		o.stalled.Stop()
	}
	var last bytes.Buffer
	if o.length > 0 {
		o.endLine(&last)
	}
	o.write(last.Bytes())
	if o.lost > 0 {
		fmt.Fprintf(o.log, "[eval-images] the log of this build is full: %d more bytes are left out\n", o.lost)
	}
	o.end(nil)
}
