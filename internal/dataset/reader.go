package dataset

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
)

// idColumn is the column of the instances' ids, in every one of these datasets.
const idColumn = "instance_id"

// Reader reads what a dataset holds.
type Reader struct {
	// Hub is the base of the Hugging Face hub.
	Hub *url.URL
	// Token is for the hub alone; empty means anonymous.
	Token string
	// ReadFile gives a file of the workspace.
	ReadFile func(name string) ([]byte, error)

	// transport and wait are the tests' to set.
	transport http.RoundTripper
	wait      func(context.Context, time.Duration) error
}

// List is a dataset as far as a run needs it.
type List struct {
	// Rows are in the dataset's own order.
	Rows []Row
	// From says in words where they are from.
	From string
	// Warnings say what was not as it should be.
	Warnings []string
}

// query is what to read. The name changes with what the hub calls the dataset now.
type query struct {
	name, split string
	columns     []string
	warnings    []string
}

func (r *Row) set(column, value string) {
	if r.Columns == nil {
		r.Columns = map[string]string{}
	}
	r.Columns[column] = value
}

// Read gives a dataset's rows, with their ids and the named columns: of a file of the workspace, or of the hub's parquet
// files or, where these cannot be read, of the list in this version, if it has one. The error is a *config.InputError, or
// *Unreachable.
func (r Reader) Read(ctx context.Context, name, split string, columns []string) (List, error) {
	q := &query{name: name, split: split, columns: columns}
	if !config.LocalDataset(name) {
		return r.remote(ctx, q)
	}
	rows, err := r.fromFile(q)
	if err == nil {
		err = check(q.name, rows)
	}
	return List{Rows: rows, From: name}, err
}

// maxPatience is the hub's window for counting requests (huggingface/hub-docs, docs/hub/rate-limits.md): who waits that
// long is served. It is too long where there is a list to turn to.
const (
	maxPatience   = 5*time.Minute + 10*time.Second
	shortPatience = time.Minute
)

func (r Reader) remote(ctx context.Context, q *query) (List, error) {
	asked, patience := q.name, shortPatience
	listed, noList := Embedded(asked, q.split)
	if len(q.columns) > 0 {
		noList = errors.New("the lists in this version have no column but " + idColumn)
	}
	if noList != nil {
		patience = maxPatience
	}
	rows, err := r.fromHub(ctx, r.client(patience), q)
	if err == nil {
		err = check(q.name, rows)
	}
	var mistake *config.InputError
	switch {
	case err == nil:
		return List{Rows: rows, From: "the hub's parquet files", Warnings: q.warnings}, nil
	case ctx.Err() != nil:
		return List{}, &Unreachable{Dataset: asked, Err: context.Cause(ctx)}
	case noList == nil:
		warning := fmt.Sprintf("The hub could not be asked for the instances of %s, so the list that comes with eval-images was used, in which later changes of "+
			"the dataset are missing: %v", asked, err)
		return List{Rows: rowsOf(listed), From: "the list in this version of eval-images", Warnings: append(q.warnings, warning)}, nil
	case errors.As(err, &mistake):
		return List{}, mistake
	default:
		return List{}, &Unreachable{Dataset: asked, Columns: q.columns, Err: err, noList: noList}
	}
}

func (r Reader) client(patience time.Duration) *client {
	c := &client{http: newHTTP(r.transport), token: r.Token, hub: r.Hub, patience: patience, wait: r.wait}
	if r.transport == nil {
		c.http.Transport = sharedTransport
	}
	if c.wait == nil {
		c.wait = sleep
	}
	return c
}

var sharedTransport = newTransport()

// idShape is what an instance's id has to look like: it becomes a part of images' and of files' names.
var idShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)

// check refuses what cannot be a list of instances.
func check(dataset string, rows []Row) error {
	wrong := func(problem string, args ...any) error {
		return &config.InputError{Input: "dataset", Problem: config.Quote(dataset) + " " + fmt.Sprintf(problem, args...),
			Fix: "choose a dataset in which every row has an " + idColumn + " of its own, such as django__django-11333"}
	}
	if len(rows) == 0 {
		return wrong("has no rows")
	}
	first := make(map[string]int, len(rows))
	for i, row := range rows {
		if !idShape.MatchString(row.ID) {
			return wrong("has the %s %s in row %d, which cannot become a part of an image's name", idColumn, config.Quote(row.ID), i+1)
		}
		if earlier, taken := first[row.ID]; taken {
			return wrong("has the %s %s twice, in rows %d and %d", idColumn, row.ID, earlier+1, i+1)
		}
		first[row.ID] = i
	}
	return nil
}
