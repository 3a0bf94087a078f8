package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
)

// Unreachable is the error when the hub could not be read. It is no mistake of the user.
type Unreachable struct {
	Dataset, Split string
	// Columns are the requested columns besides the ids.
	Columns []string
	Err     error

	noList error // why no embedded list could replace the hub
}

func (e *Unreachable) Error() string {
	text := fmt.Sprintf("reading the dataset %s: %v", e.Dataset, e.Err)
	if e.noList != nil {
		text += "; " + e.noList.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Hint says what the user can do.
func (e *Unreachable) Hint() string {
	var answered *statusError
	if errors.As(e.Err, &answered) && answered.Status == http.StatusTooManyRequests {
		return "the hub counts the requests of everybody at this address; with hf-token it counts yours alone"
	}
	needed := "the column " + idColumn
	if len(e.Columns) > 0 {
		needed = "the columns " + idColumn + ", " + strings.Join(e.Columns, ", ")
	}
	again := "run it again later"
	if near := config.Nearest(e.Dataset, config.Datasets()); near != "" && near != e.Dataset {
		again = "did you mean " + near + "? Otherwise " + again
	} else if split := config.SplitOf(e.Dataset); split != "" && e.Split != "" && split != e.Split {
		again = "the benchmark's split is " + split + "; otherwise " + again
	}
	return again + ", or set dataset to a .jsonl or .parquet file with " + needed
}

// statusError is a response with a status other than 2xx.
type statusError struct {
	Address string
	Status  int
	// Code is the hub's error code, such as "RepoNotFound".
	Code string
	// Message is the server's message in one line, or empty.
	Message string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.Address, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// maxMessage is how many characters of a server's message an error repeats.
const maxMessage = 200

func newStatusError(address *url.URL, resp *http.Response, body []byte) *statusError {
	e := &statusError{Address: redacted(address), Status: resp.StatusCode, Code: errorCode(resp.Header.Get("X-Error-Code"))}
	var object struct{ Error string }
	switch {
	case json.Unmarshal(body, &object) == nil:
		e.Message = object.Error
	case !looksLikeHTML(resp.Header, body):
		e.Message = string(body)
	}
	e.Message = strings.Join(strings.Fields(strings.ToValidUTF8(e.Message, "\uFFFD")), " ")
	if short := []rune(e.Message); len(short) > maxMessage {
		e.Message = string(short[:maxMessage]) + "…"
	}
	return e
}

// errorCode returns code, or "" if it is not one printable word: the server may send anything in a header.
func errorCode(code string) string {
	if strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' }) || len(code) > maxMessage {
		return ""
	}
	return code
}

// redacted returns an address without its query, which may hold a signature that gives access.
func redacted(address *url.URL) string {
	return (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
}

func looksLikeHTML(header http.Header, body []byte) bool {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// asInputError turns a status that the user's inputs caused into a *config.InputError. It returns other errors unchanged.
func asInputError(err error, dataset string, withToken bool) error {
	var answered *statusError
	if !errors.As(err, &answered) {
		return err
	}
	m := &config.InputError{Input: "dataset"}
	switch {
	case answered.Status == http.StatusUnauthorized && withToken, answered.Status == http.StatusForbidden && withToken:
		m.Input = "hf-token"
		m.Problem = fmt.Sprintf("the hub does not show the dataset %s to this token (%d)", config.Quote(dataset), answered.Status)
		m.Fix = "check that the token is valid and may read the dataset, and that the dataset exists"
	case answered.Status == http.StatusUnauthorized, answered.Status == http.StatusForbidden:
		m.Problem = fmt.Sprintf("the hub does not show %s (%d): there is no such dataset, or it is not public",
			config.Quote(dataset), answered.Status)
		m.Fix = "check its name; for a private or gated one give hf-token"
	case answered.Status == http.StatusNotFound:
		m.Problem = "the hub has no parquet files of " + config.Quote(dataset)
		m.Fix = "check its name, with owner and letter case; the hub does not convert every dataset to parquet: for such a one, set " +
			"dataset to a .jsonl or .parquet file"
	default:
		return err
	}
	if near := config.Nearest(dataset, config.Datasets()); near != "" && near != dataset {
		m.Fix = "did you mean " + near + "? Otherwise " + m.Fix
	}
	return m
}
