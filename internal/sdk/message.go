package sdk

// message is what a worker sends: first its description, then one answer to each request.
type message struct {
	Description *Description       `json:"description"`
	Names       [][]string         `json:"names"`
	Tags        []string           `json:"tags"`
	Telemetry   map[string]float64 `json:"telemetry"`
	SdistBuilds int                `json:"sdist_builds"`
	SdistLost   bool               `json:"sdist_lost"`
	Captured    *Captured          `json:"captured"`
	Error       *workerError       `json:"error"`
}

// workerError is an exception that a worker has caught. The worker can take the next request.
type workerError struct {
	Kind       string   `json:"kind"` // "options", "command", "capture" or "exception"
	Problems   []string `json:"problems"`
	Valid      []string `json:"valid"`
	ReturnCode int      `json:"return_code"`
	Command    []string `json:"command"`
	Type       string   `json:"type"`
	Message    string   `json:"message"`
	Tail       string   `json:"tail"`
}

// err returns the message's error as a Go error, or nil.
func (m message) err() error {
	e := m.Error
	switch {
	case e == nil:
		return nil
	case e.Kind == "options":
		return &OptionError{Problems: e.Problems, Valid: e.Valid}
	case e.Kind == "command":
		return &BuildFailure{ReturnCode: e.ReturnCode, Command: e.Command, Tail: e.Tail, Telemetry: m.Telemetry, SdistBuilds: m.SdistBuilds}
	case e.Kind == "capture":
		return &CaptureError{Reason: e.Message}
	default:
		return &SDKError{Type: e.Type, Message: e.Message, Traceback: e.Tail, SdistBuilds: m.SdistBuilds}
	}
}
