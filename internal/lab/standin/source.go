package standin

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// source brings images into the engine: it pulls them or builds stand-ins.
type source struct {
	*engine.Engine
	log io.Writer
	// What stand-ins are made from. Each takes minutes, so both are made at once; nil before a stand-in is needed.
	tools *work
	root  *work
}

func newSource(e *engine.Engine, log io.Writer) *source { return &source{Engine: e, log: log} }

// provide makes every image available in the engine, under its own name.
func (s *source) provide(ctx context.Context, names []string) error {
	var missing []string
	for _, name := range names {
		there, err := s.has(ctx, name)
		if err != nil {
			return fmt.Errorf("looking for %s: %w", name, err)
		}
		if !there {
			missing = append(missing, name)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.settle()
	defer cancel()
	for _, name := range missing {
		if err := s.get(ctx, name); err != nil {
			return fmt.Errorf("providing %s: %w", name, err)
		}
	}
	return nil
}

// has reports whether the engine has the image. A stand-in whose recipe has changed does not count; an official image
// always does.
func (s *source) has(ctx context.Context, name string) (bool, error) {
	key, found, err := s.ImageKey(ctx, name)
	if err != nil || !found || key == "" {
		return found, err
	}
	recipe, known := recipeFor(name)
	if !known {
		return false, nil
	}
	want, err := recipe.key(s.Engine)
	return key == want, err
}

func (s *source) get(ctx context.Context, name string) error {
	begin := time.Now()
	pulled, err := s.pull(ctx, name)
	if err != nil {
		return err
	}
	what := "pulled"
	if !pulled {
		what = "built a stand-in for"
		if err := s.build(ctx, name); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.log, "%s %s in %.0f s\n", what, name, time.Since(begin).Seconds())
	return nil
}

// pull returns false where images cannot be pulled. The first image decides that, within a short time; later failures
// are errors.
func (s *source) pull(ctx context.Context, name string) (bool, error) {
	if s.Pulls != nil && !*s.Pulls {
		return false, nil
	}
	within := 15 * time.Minute
	if s.Pulls == nil {
		within = 2 * time.Minute
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := s.Output(limited, "pull", "--quiet", name)
	if s.Pulls != nil || ctx.Err() != nil {
		return err == nil, err
	}
	pulls := err == nil
	s.Pulls = &pulls
	if !pulls {
		fmt.Fprintln(s.log, "images cannot be pulled here; building stand-ins")
	}
	return pulls, nil
}

// prepare starts making both inputs of stand-ins. One needs the processor, the other mostly waits for downloads.
func (s *source) prepare(ctx context.Context) {
	if s.tools == nil {
		s.tools = startWork(func() (string, error) { return tools(ctx, s.Engine, s.log) })
		s.root = startWork(func() (string, error) { return debianRoot(ctx, s.Engine, s.log) })
	}
}

// settle waits until neither writes to the cache any more.
func (s *source) settle() {
	if s.tools != nil {
		s.tools.wait()
		s.root.wait()
	}
}

// work is a file or folder that a goroutine makes.
type work struct {
	done chan struct{}
	path string // valid once done is closed, as err is
	err  error
}

func startWork(run func() (path string, err error)) *work {
	w := &work{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.path, w.err = run()
	}()
	return w
}

func (w *work) wait() (path string, err error) {
	<-w.done
	return w.path, w.err
}
