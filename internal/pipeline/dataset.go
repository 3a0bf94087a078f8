package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
)

// plan chooses the instances and names their base images: this run's part of them becomes its targets. It goes as far as
// a Config with mistakes allows, so that wrong ids are told together with them. A *dataset.Unreachable is no mistake.
func (r *run) plan(ctx context.Context, c config.Config, mistakes error) error {
	if blames(mistakes, "benchmark", "dataset", "split", "base-image-template", "hf-token") {
		return nil
	}
	var rows []dataset.Row
	err := r.phase("dataset", func() (err error) {
		rows, err = r.choose(ctx, c)
		return err
	})
	if err != nil || blames(mistakes, "image", "target", "custom-tag-template", "sdk-options") {
		return err
	}
	columns := map[string]map[string]string{}
	for _, row := range rows {
		columns[row.ID] = row.Columns
	}
	targets, err := plan.NewWithColumns(c, dataset.IDs(rows), columns)
	if err != nil || mistakes != nil {
		return err
	}
	for _, warning := range c.Warnings() {
		r.warn(warning)
	}
	r.targets = plan.Shard(targets, c.Shard)
	r.learn(func(f *ledger.Run) { f.PlannedTotal, f.Planned = len(targets), len(r.targets) })
	return nil
}

// choose reads the dataset, and chooses as OpenHands/benchmarks does (utils/dataset.py, get_dataset): those that the user
// names, or else the preset's; then as many of these as the limit says; then without those that have no image.
func (r *run) choose(ctx context.Context, c config.Config) ([]dataset.Row, error) {
	reader, err := r.datasetReader(c)
	if err != nil {
		return nil, err
	}
	list, err := reader.Read(ctx, c.Dataset, c.Split, c.Columns())
	for _, warning := range list.Warnings {
		r.warn(warning)
	}
	if err != nil {
		return nil, err
	}
	r.learn(func(f *ledger.Run) { f.InstancesFrom = ledger.Text(list.From) })
	chosen, err := r.selected(c, list.Rows)
	if err != nil {
		return nil, err
	}
	drawn := dataset.Filled(dataset.Sample(chosen, c.Limit), c.Benchmark.Filled)
	r.actions.Info(fmt.Sprintf("%d of %d instances of %s, split %s, read from %s",
		len(drawn), len(list.Rows), c.Dataset, c.Split, list.From))
	if len(drawn) == 0 {
		return nil, &config.InputError{Input: "n-limit", Problem: "none of the chosen instances has an image",
			Fix: fmt.Sprintf("choose others: column %s of all of these is blank", c.Benchmark.Filled)}
	}
	return drawn, nil
}

func (r *run) selected(c config.Config, rows []dataset.Row) ([]dataset.Row, error) {
	if name := c.Selection(); name != "" {
		return dataset.SelectList(rows, name)
	}
	return dataset.SelectRows(rows, c.InstanceIDs, c.InstancesFile, r.readFile)
}

// readFile reads a file of the workspace.
func (r *run) readFile(name string) ([]byte, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(r.workspace, name)
	}
	return os.ReadFile(name)
}

// The hub's address, and the variable that changes it, which is the Hugging Face libraries' own.
const hubVariable, defaultHub = "HF_ENDPOINT", "https://huggingface.co"

func (r *run) datasetReader(c config.Config) (reader dataset.Reader, err error) {
	reader = dataset.Reader{ReadFile: r.readFile, Token: cmp.Or(c.HFToken, r.getenv("HF_TOKEN"))}
	reader.Hub, err = r.address(hubVariable, defaultHub)
	return reader, err
}

func (r *run) address(variable, otherwise string) (*url.URL, error) {
	given := strings.TrimRight(cmp.Or(strings.TrimSpace(r.getenv(variable)), otherwise), "/")
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, &config.InputError{Input: "environment variable " + variable, Problem: "it is not an address",
			Fix: "unset it, or write one such as " + otherwise}
	}
	return u, nil
}
