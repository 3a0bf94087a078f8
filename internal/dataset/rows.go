package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/OpenHands/eval-images/internal/config"
)

const (
	// pageRows is the most that the dataset server gives at once, and what it gives by itself.
	pageRows = 100
	// pagedRows bounds what is read in pages: each of them has all columns.
	pagedRows = 20_000
)

// fromServer reads a dataset page by page from the dataset server, https://datasets-server.huggingface.co.
func (r Reader) fromServer(ctx context.Context, c *client, q *query) ([]Row, error) {
	configuration, err := r.configuration(ctx, c, q)
	var answered *statusError
	if errors.As(err, &answered) && answered.Code == "RenamedDatasetError" {
		if err = r.findName(ctx, c, q, err); err == nil {
			configuration, err = r.configuration(ctx, c, q)
		}
	}
	if err != nil {
		return nil, mistaken(err, q.name, c.token != "")
	}
	q.exists = true
	rows, err := r.pages(ctx, c, q, configuration)
	if errors.Is(err, errRevision) { // whoever changed the dataset meanwhile will not do so again at once
		rows, err = r.pages(ctx, c, q, configuration)
	}
	return rows, err
}

func (r Reader) configuration(ctx context.Context, c *client, q *query) (string, error) {
	var listed struct {
		Splits []struct{ Config, Split string }
	}
	if _, err := c.getJSON(ctx, r.ask("splits", "dataset", q.name), &listed); err != nil {
		return "", err
	}
	splits := map[string][]string{}
	for _, s := range listed.Splits {
		splits[s.Config] = append(splits[s.Config], s.Split)
	}
	return q.choose(splits)
}

// findName asks the hub, which follows renames, for the name that the dataset server misses.
func (r Reader) findName(ctx context.Context, c *client, q *query, renamed error) error {
	var found struct{ ID string }
	_, err := c.getJSON(ctx, r.Hub.JoinPath("api", "datasets", q.name).String(), &found)
	if err == nil && found.ID != "" && found.ID != q.name {
		q.renameTo(found.ID)
		return nil
	}
	return &config.InputError{Input: "dataset", Problem: fmt.Sprintf("%s has another name now: %v", config.Quote(q.name), renamed),
		Fix: "look it up on the hub, and use the new name"}
}

func (r Reader) ask(endpoint string, parameters ...string) string {
	address := r.Server.JoinPath(endpoint)
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	address.RawQuery = values.Encode()
	return address.String()
}

// page is an answer of /rows.
type page struct {
	Features []struct{ Name string }
	Rows     []struct {
		Index     int                        `json:"row_idx"`
		Row       map[string]json.RawMessage `json:"row"`
		Truncated []string                   `json:"truncated_cells"`
	}
	Total   int `json:"num_rows_total"`
	Partial bool
}

// errRevision is a dataset that changed between two of its pages.
var errRevision = errors.New("the dataset changed while it was read")

func (r Reader) pages(ctx context.Context, c *client, q *query, configuration string) ([]Row, error) {
	var rows []Row
	revision := ""
	for total := 1; len(rows) < total; {
		var p page
		// The length is called length; the server ignores any other word for it.
		got, err := c.getJSON(ctx, r.ask("rows", "dataset", q.name, "config", configuration, "split", q.split,
			"offset", strconv.Itoa(len(rows)), "length", strconv.Itoa(pageRows)), &p)
		if err != nil {
			return nil, err
		}
		first := len(rows) == 0
		if first {
			total, revision = p.Total, got.header.Get("X-Revision")
		}
		switch {
		case got.header.Get("X-Revision") != revision || p.Total != total:
			return nil, errRevision
		case p.Partial:
			return nil, fmt.Errorf("the dataset server has only a part of %s, split %s", q.name, q.split)
		case total > pagedRows:
			return nil, fmt.Errorf("%s, split %s, has %d rows, too many to be read in pages", q.name, q.split, total)
		case len(p.Rows) != min(pageRows, total-len(rows)):
			return nil, fmt.Errorf("the dataset server gave %d rows from row %d of %d on", len(p.Rows), len(rows)+1, total)
		}
		if rows, err = p.appendTo(rows, q); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (p page) appendTo(rows []Row, q *query) ([]Row, error) {
	var has []string
	for _, feature := range p.Features {
		has = append(has, feature.Name)
	}
	for _, listed := range p.Rows {
		if listed.Index != len(rows) {
			return nil, fmt.Errorf("the dataset server gave row %d in place of row %d", listed.Index+1, len(rows)+1)
		}
		for _, cut := range listed.Truncated {
			if q.reads(cut) {
				return nil, fmt.Errorf("the dataset server gave only a part of %s in row %d", cut, listed.Index+1)
			}
		}
		row, err := newRow(q, listed.Row, has, len(rows))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// newRow makes a Row of a JSON object's fields; has are the names of the fields that rows have, where they are known.
func newRow(q *query, fields map[string]json.RawMessage, has []string, index int) (Row, error) {
	var row Row
	text := func(column string) (string, bool, error) {
		raw, ok := fields[column]
		if !ok {
			if len(has) == 0 {
				has = slices.Sorted(maps.Keys(fields))
			}
			return "", false, noColumn(q.name, column, has)
		}
		var value *string
		if err := json.Unmarshal(raw, &value); err != nil {
			return "", false, &config.InputError{Input: "dataset", Fix: "choose a dataset in which it is",
				Problem: fmt.Sprintf("column %s of %s is not text in row %d", column, config.Quote(q.name), index+1)}
		}
		if value == nil {
			return "", false, nil
		}
		return *value, true, nil
	}
	id, ok, err := text(idColumn)
	if err == nil && !ok {
		err = noID(q.name, index)
	}
	if err != nil {
		return row, err
	}
	row.ID = id
	for _, column := range q.columns {
		value, ok, err := text(column)
		if err != nil {
			return row, err
		}
		if ok {
			row.set(column, value)
		}
	}
	return row, nil
}
