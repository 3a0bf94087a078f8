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

// Unreachable is a hub that did not say what a dataset holds. It is nothing that the user got wrong.
type Unreachable struct {
	Dataset string
	// Columns are those that were asked for beside the ids.
	Columns []string
	Err     error

	noList error // why no list in this version took the hub's place
}

func (e *Unreachable) Error() string {
	text := fmt.Sprintf("reading the dataset %s: %v", e.Dataset, e.Err)
	if e.noList != nil {
		text += "; " + e.noList.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Unreachable) Hint() string {
	var answered *statusError
	if errors.As(e.Err, &answered) && answered.Status == http.StatusTooManyRequests {
		return "the hub counts the requests of everybody at this address; with hf-token it counts yours alone"
	}
	needed := "the column " + idColumn
	if len(e.Columns) > 0 {
		needed = "the columns " + idColumn + ", " + strings.Join(e.Columns, ", ")
	}
	return "run it again later, or set dataset to a .jsonl file of the workspace with " + needed
}

// statusError is an answer other than a good one.
type statusError struct {
	Address string
	Status  int
	// Code is the hub's own name for it, "RepoNotFound".
	Code string
	// Says is the server's message, in one line; empty where it has none for people.
	Says string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answered %d %s", e.Address, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.Says != "" {
		text += ": " + e.Says
	}
	return text
}

// saidAtMost bounds what an error repeats of a server's answer.
const saidAtMost = 200

func newStatusError(address *url.URL, response *http.Response, body []byte) *statusError {
	e := &statusError{Address: shown(address), Status: response.StatusCode, Code: oneWord(response.Header.Get("X-Error-Code"))}
	var told struct{ Error string }
	switch {
	case json.Unmarshal(body, &told) == nil:
		e.Says = told.Error
	case !looksLikeHTML(response.Header, body):
		e.Says = string(body)
	}
	e.Says = strings.Join(strings.Fields(strings.ToValidUTF8(e.Says, "\uFFFD")), " ")
	if short := []rune(e.Says); len(short) > saidAtMost {
		e.Says = string(short[:saidAtMost]) + "…"
	}
	return e
}

// oneWord drops what is no error code: a header is the server's to write.
func oneWord(code string) string {
	if strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' }) || len(code) > saidAtMost {
		return ""
	}
	return code
}

// shown is an address without its query, which may be a signature that gives access.
func shown(address *url.URL) string {
	return (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
}

func looksLikeHTML(header http.Header, body []byte) bool {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<"))
}

// mistaken makes a mistake of an answer that blames what was asked for, and gives other errors back as they are.
func mistaken(err error, dataset string, withToken bool) error {
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
		m.Fix = "check its name, owner and letter case included; the hub does not make these files of every dataset, and where it has " +
			"made none a .jsonl file of the workspace serves as well"
	default:
		return err
	}
	if near := config.Nearest(dataset, config.Datasets()); near != "" && near != dataset {
		m.Fix = "did you mean " + near + "? Otherwise " + m.Fix
	}
	return m
}
