package dataset

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"github.com/OpenHands/eval-images/internal/config"
)

// idColumn is the column of the instance ids in all of these datasets.
const idColumn = "instance_id"

// Reader reads datasets from the Hugging Face hub or from a file.
type Reader struct {
	// Hub is the hub's base URL.
	Hub *url.URL
	// Token is sent to the hub only. Empty means anonymous.
	Token string
	// Optional are columns that Read returns, too, where a dataset has them.
	Optional []string

	// wait replaces sleep in tests, which record the waits. Nil is sleep.
	wait func(context.Context, time.Duration) error
}

// List holds the rows of a dataset.
type List struct {
	// Rows are in the dataset's order.
	Rows []Row
	// From describes the source of the rows for people.
	From string
	// OnlyIDs is true for the list in this version, which has no columns.
	OnlyIDs bool
	// Warnings are for the user.
	Warnings []string
}

// query is a request for a dataset. When the hub redirects to a new name, name changes.
type query struct {
	name, split string
	columns     []string
	optional    []string
	warnings    []string
}

func (r *Row) set(column, value string) {
	if r.Columns == nil {
		r.Columns = map[string]string{}
	}
	r.Columns[column] = value
}

// Read returns a dataset's rows with their ids and the named columns. If name is the path of a file, readFile reads it.
// Otherwise the rows come from the hub's parquet files. If these cannot be read, they come from the list in this version,
// if it has one. The error is a *config.InputError or an *Unreachable.
func (r Reader) Read(ctx context.Context, name, split string, columns []string, readFile func(string) ([]byte, error)) (List, error) {
	q := &query{name: name, split: split, columns: columns, optional: r.Optional}
	if !config.LocalDataset(name) {
		return r.readHub(ctx, q)
	}
	rows, err := fromFile(q, readFile)
	if err == nil {
		err = checkRows(q.name, rows)
	}
	return List{Rows: rows, From: name}, err
}

// longRetryAfter is a bit more than the hub's window for counting requests, after which the hub answers again
// (huggingface/hub-docs, docs/hub/rate-limits.md). When this version has a list, shortRetryAfter applies.
const (
	longRetryAfter  = 5*time.Minute + 10*time.Second
	shortRetryAfter = time.Minute
)

func (r Reader) readHub(ctx context.Context, q *query) (List, error) {
	requested, maxRetryAfter := q.name, shortRetryAfter // q.name may change
	listed, noList := Embedded(requested, q.split)
	if len(q.columns) > 0 {
		noList = errors.New("the lists in this version have no column but " + idColumn)
	}
	if noList != nil {
		maxRetryAfter = longRetryAfter
	}
	rows, err := r.fromHub(ctx, r.client(maxRetryAfter), q)
	if err == nil {
		err = checkRows(q.name, rows)
	}
	var mistake *config.InputError
	switch {
	case err == nil:
		return List{Rows: rows, From: "the hub's parquet files", Warnings: q.warnings}, nil
	case ctx.Err() != nil:
		return List{}, &Unreachable{Dataset: requested, Err: context.Cause(ctx)}
	case noList == nil:
		warning := fmt.Sprintf("The hub did not answer the request for the instances of %s, so the list that comes with eval-images was used, "+
			"which lacks later changes of the dataset: %v", requested, err)
		return List{Rows: rowsFromIDs(listed), From: "the list in this version of eval-images", OnlyIDs: true, Warnings: append(q.warnings, warning)}, nil
	case errors.As(err, &mistake):
		return List{}, mistake
	default:
		return List{}, &Unreachable{Dataset: requested, Split: q.split, Columns: q.columns, Err: err, noList: noList}
	}
}

func (r Reader) client(maxRetryAfter time.Duration) *client {
	c := &client{http: newHTTPClient(sharedTransport), token: r.Token, hub: r.Hub, maxRetryAfter: maxRetryAfter, wait: r.wait}
	if c.wait == nil {
		c.wait = sleep
	}
	return c
}

var sharedTransport = newTransport()

// idShape is the form of an instance id, which becomes a part of image and file names. File names have at most 255 bytes.
var idShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}$`)

// checkRows returns a *config.InputError if the rows are no list of instances: none, an id of another form, or an id twice.
func checkRows(dataset string, rows []Row) error {
	wrong := func(problem string, args ...any) error {
		return &config.InputError{
			Input: "dataset", Problem: config.Quote(dataset) + " " + fmt.Sprintf(problem, args...),
			Fix: "choose a dataset in which every row has an " + idColumn + " of its own, such as django__django-11333",
		}
	}
	if len(rows) == 0 {
		return wrong("has no rows")
	}
	if len(rows) > maxRows {
		return wrong("has more than %d rows", maxRows)
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
