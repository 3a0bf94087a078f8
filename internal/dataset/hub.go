package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
)

// maxJSON bounds a JSON response, which is a list of files, in bytes. maxFiles bounds the list: each file takes a request or
// more.
const (
	maxJSON  = 8 << 20
	maxFiles = 1000
)

func (c *client) getJSON(ctx context.Context, address string, into any) (response, error) {
	got, err := c.get(ctx, address, nil, maxJSON)
	if err != nil {
		return got, err
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		return got, fmt.Errorf("reading the response of %s: %w", redacted(got.address), err)
	}
	return got, nil
}

// fromHub reads the hub's parquet files of a dataset. The hub lists them in the dataset's order. If the dataset was
// renamed, fromHub sets q.name to the new name.
func (r Reader) fromHub(ctx context.Context, c *client, q *query) ([]Row, error) {
	addresses, err := r.parquetFiles(ctx, c, q)
	if err != nil {
		return nil, asInputError(err, q.name, c.token != "")
	}
	if len(addresses) > maxFiles {
		return nil, fmt.Errorf("the hub lists %d parquet files of %s, more than %d", len(addresses), config.Quote(q.name), maxFiles)
	}
	var rows []Row
	for _, address := range addresses {
		address = r.onHub(address)
		// The hub converts only the beginning of a dataset that is too large. These files are in a partial- folder.
		if strings.Contains(address, "/partial-") {
			return nil, fmt.Errorf("the hub has only a part of %s, split %s, as parquet", config.Quote(q.name), q.split)
		}
		file, err := c.openFile(ctx, address)
		if err != nil {
			return nil, err
		}
		more, err := readParquet(file, file.size, q.name, q.columns, q.optional)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
		if len(rows) > maxRows {
			return nil, tooManyRows(q.name)
		}
	}
	return rows, nil
}

// hubHosts are the hosts of the hub itself.
var hubHosts = []string{"huggingface.co", "www.huggingface.co", "hf.co"}

// onHub returns the address of a file as r.Hub has it. A mirror passes on lists with the hub's own addresses. Who set a mirror
// cannot reach these, or does not want to.
func (r Reader) onHub(address string) string {
	u, err := url.Parse(address)
	if err != nil || !slices.Contains(hubHosts, strings.ToLower(u.Hostname())) || slices.Contains(hubHosts, strings.ToLower(r.Hub.Hostname())) {
		return address
	}
	moved := r.Hub.JoinPath(u.EscapedPath())
	moved.RawQuery = u.RawQuery
	return moved.String()
}

// parquetFiles lists the files' addresses. Nearly every dataset has one configuration, "default", so that is requested
// first. If it or the split does not exist, a second request lists all configurations and splits.
func (r Reader) parquetFiles(ctx context.Context, c *client, q *query) ([]string, error) {
	base := r.Hub.JoinPath("api", "datasets", q.name, "parquet")
	var files []string
	got, err := c.getJSON(ctx, base.JoinPath(defaultConfiguration, q.split).String(), &files)
	if err == nil && len(files) > 0 {
		q.followRename(got.address)
		return files, nil
	}
	var answered *statusError
	known := errors.As(err, &answered) && (answered.Status == http.StatusNotFound || answered.Status == http.StatusBadRequest)
	if err != nil && !known {
		return nil, err
	}
	var all map[string]map[string][]string
	if got, err = c.getJSON(ctx, base.String(), &all); err != nil {
		return nil, err
	}
	q.followRename(got.address)
	splits := map[string][]string{}
	for configuration, files := range all {
		splits[configuration] = slices.Collect(maps.Keys(files))
	}
	configuration, err := q.choose(splits)
	if err != nil {
		return nil, err
	}
	return all[configuration][q.split], nil
}

const defaultConfiguration = "default"

// choose picks the configuration as Python's datasets library does: the only one, or else "default". It is an error if
// the configuration lacks the split.
func (q *query) choose(splits map[string][]string) (string, error) {
	configuration := defaultConfiguration
	if names := slices.Sorted(maps.Keys(splits)); len(names) == 1 {
		configuration = names[0]
	} else if !slices.Contains(names, configuration) {
		return "", &config.InputError{
			Input: "dataset",
			Problem: fmt.Sprintf("%s has %d configurations and none is the default: %s",
				config.Quote(q.name), len(names), listed(names)),
			Fix: "choose a dataset with one configuration",
		}
	}
	known := splits[configuration]
	if !slices.Contains(known, q.split) {
		slices.Sort(known)
		fix := "its splits are " + listed(known)
		if near := config.Nearest(q.split, known); near != "" {
			fix = "did you mean " + near + "? " + fix
		}
		problem := fmt.Sprintf("%s has no split %s", config.Quote(q.name), config.Quote(q.split))
		return "", &config.InputError{Input: "split", Problem: problem, Fix: fix}
	}
	return configuration, nil
}

// followRename takes the dataset's new name from the address that the hub redirected to:
// .../api/datasets/NAME/parquet/...
func (q *query) followRename(address *url.URL) {
	_, path, ok := strings.Cut(address.Path, "/api/datasets/")
	if !ok {
		return
	}
	name := path
	if end := strings.LastIndex(path, "/parquet"); end >= 0 {
		name = path[:end]
	}
	if name == q.name || name == "" {
		return
	}
	warning := fmt.Sprintf("The dataset %s is called %s on the hub now.", config.Quote(q.name), config.Quote(name))
	q.warnings = append(q.warnings, warning)
	q.name = name
}
