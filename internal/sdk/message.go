package sdk

// message is what a worker says: its description at first, then one answer to each request.
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

// workerError is an exception in a worker, which lives on.
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

// err gives the message's error its type, or nil.
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
		return &Uncapturable{Reason: e.Message}
	default:
		return &SDKError{Type: e.Type, Message: e.Message, Traceback: e.Tail, SdistBuilds: m.SdistBuilds}
	}
}
