package sdk

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

//go:embed seed.py
var seedProgram []byte

// forkWithin bounds a fork, which takes milliseconds, and the new worker's first words.
const forkWithin = 30 * time.Second

// seed is a process that has imported the SDK's build module and forks workers, which share its memory: the import is
// paid once, and a worker takes a tenth of what a spawned one does. It names tags itself and never builds.
type seed struct {
	*worker // its process, its folder and its socket; the conversation is of another form
	mu      sync.Mutex
	last    int                      // the newest number of a request
	asked   map[int]chan seedMessage // who waits for an answer, by the request's number
	forked  map[int]*worker          // workers that live, by the request's number that made them
	gone    chan struct{}            // closed when it can answer no more
	why     error                    // to be read after gone
}

// seedRequest has the form of one of a worker's requests, and a number.
type seedRequest struct {
	ID     int     `json:"id"`
	Op     string  `json:"op"`
	Images []image `json:"images"`        // of "names"
	Dir    string  `json:"dir,omitempty"` // of "fork": the worker's own folder
}

// seedMessage is an answer (ID) or the end of a worker (WaitStatus).
type seedMessage struct {
	message
	ID         int                 `json:"id"`
	PID        int                 `json:"pid"`
	Refused    string              `json:"refused"` // why no worker was forked
	Worker     int                 `json:"worker"`  // the number of the request that made it
	WaitStatus *syscall.WaitStatus `json:"wait_status"`
}

// newSeed takes over the process of w, which has described itself.
func newSeed(w *worker) *seed {
	s := &seed{worker: w, asked: map[int]chan seedMessage{}, forked: map[int]*worker{}, gone: make(chan struct{})}
	go s.listen()
	return s
}

// listen hands out what the seed says, until it says no more.
func (s *seed) listen() {
	_ = s.conn.SetDeadline(time.Time{})
	for {
		var m seedMessage
		if err := s.answers.Decode(&m); err != nil {
			s.lose(s.brokenOff(context.Background(), err))
			s.end() // It may live, and say what is no answer.
			return
		}
		s.mu.Lock()
		if m.WaitStatus != nil {
			s.bury(m.Worker, howEnded(*m.WaitStatus))
		} else if answer := s.asked[m.ID]; answer != nil {
			answer <- m // There is room: a request has one answer.
		}
		s.mu.Unlock()
	}
}

// lose gives up the seed. The kernel then ends its workers, and nobody is left to tell how.
func (s *seed) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := range s.forked {
		s.bury(number, "the process that it was forked from is gone")
	}
	s.why = why
	close(s.gone)
}

// bury notes the end of a worker. s.mu is held.
func (s *seed) bury(number int, how string) {
	if w := s.forked[number]; w != nil {
		w.how = how
		close(w.exited)
		delete(s.forked, number)
	}
}

// howEnded says it in os.ProcessState's words.
func howEnded(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// call sends a request, whose number it sets, and waits for the answer. begin is called with the number before.
func (s *seed) call(ctx context.Context, request seedRequest, begin func(number int)) (seedMessage, error) {
	answer := make(chan seedMessage, 1)
	s.mu.Lock()
	s.last++
	request.ID = s.last
	s.asked[request.ID] = answer
	begin(request.ID)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asked, request.ID)
	}()
	line, err := json.Marshal(request)
	if err != nil {
		return seedMessage{}, err
	}
	go func() { // It waits where the seed does not read, and then we need not.
		if _, err := s.conn.Write(append(line, '\n')); err != nil {
			s.conn.Close()
		}
	}()
	select {
	case m := <-answer:
		return m, m.err()
	case <-s.gone:
		return seedMessage{}, s.why
	case <-ctx.Done():
		return seedMessage{}, ended(ctx)
	}
}

// names asks for tags, as a worker's request of that name does.
func (s *seed) names(ctx context.Context, images []image) (message, error) {
	m, err := s.call(ctx, seedRequest{Op: "names", Images: images}, func(int) {})
	return m.message, err
}

// fork makes a worker's process, whose end will be reported.
func (s *seed) fork(ctx context.Context, w *worker) error {
	var number int
	m, err := s.call(ctx, seedRequest{Op: "fork", Dir: w.dir}, func(n int) {
		number = n
		s.forked[n] = w
	})
	if err == nil && m.Refused != "" {
		err = errors.New(m.Refused)
	}
	if err == nil && m.PID <= 0 {
		err = errors.New("the seed process gave no process id")
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bury(number, err.Error())
		return err
	}
	w.pid = m.PID
	return nil
}
