package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/evalenv"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// readInputs reads the inputs and chooses the targets of this run. One badInput has all errors that can be found without the SDK. A
// *dataset.Unreachable is not a badInput.
func readInputs(ctx context.Context, l *commandLine, w *workspace, rec *record) (config.Config, []plan.Target, error) {
	env := l.env
	c, err := l.parse(rec)
	if c.DeadlineOpen && env.get("RUNNER_ENVIRONMENT") == "github-hosted" {
		c.Deadline = config.HostedDeadline()
	}
	ctx, stop := withDeadline(ctx, c.Deadline, rec.facts.Started)
	defer stop()
	rec.facts.Title = cmp.Or(c.Title, "eval-images")
	for _, secret := range []string{c.Registry.Password, c.BaseRegistry.Password, c.HFToken} {
		rec.actions.Mask(secret)
	}
	known := rec.facts
	if err == nil {
		rec.describe(c)
	}
	targets, planErr := chooseTargets(ctx, c, err, env, w, rec)
	var unreachable *dataset.Unreachable
	switch {
	case errors.As(planErr, &unreachable) && err == nil:
		return c, targets, planErr
	case errors.As(planErr, &unreachable):
		planErr = nil // report the bad inputs first
	}
	var pathErr error
	if c.SDKPath != "" { // the checks that need no git
		pathErr = workTree(c, w).Check()
	}
	var loginErr error
	if err == nil && planErr == nil {
		_, loginErr = logins(c, targets)
	}
	if err = errors.Join(err, pathErr, planErr, loginErr); err != nil {
		rec.facts = known
		return c, nil, badInput{err}
	}
	return c, targets, nil
}

func workTree(c config.Config, w *workspace) sdk.WorkTree {
	return sdk.WorkTree{Base: w.root, Path: c.SDKPath, Record: c.BuildDir, CommandLine: !w.confined}
}

// describe sets the facts that are known from the inputs.
func (r *record) describe(c config.Config) {
	options := map[string]string{}
	for _, o := range c.SDKOptions {
		options[o.Name] = o.Value
	}
	sdkRepository, sdkRef := c.SDKSource()
	r.facts = ledger.Run{
		Title: c.Title, Benchmark: c.Benchmark.Name, Dataset: c.Dataset, Split: c.Split, Shard: ledger.Text(c.Shard.String()),
		SDKRepository: sdkRepository, SDKRef: sdkRef, Strategy: c.Strategy, Image: c.Image, Builder: c.Builder,
		CacheMode: c.CacheMode, Workers: c.MaxWorkers, Options: options, Started: r.facts.Started,
		URL: r.facts.URL, Artifact: ledger.Text(c.Artifact),
		DeadlineSeconds: c.Deadline.Seconds(), MissingAllowedPercent: c.MissingAllowed,
	}
}

// concerns reports whether one of the errors is about one of the inputs.
func concerns(err error, inputs ...string) bool {
	return slices.ContainsFunc(split(err), func(one error) bool {
		var wrong *config.InputError
		return errors.As(one, &wrong) && slices.Contains(inputs, wrong.Input)
	})
}

// chooseTargets chooses the instances and their base images, and returns those of this run's shard. With bad inputs it fetches nothing.
// It reads a dataset from a file all the same, so that unknown instance ids are reported in the same run.
func chooseTargets(ctx context.Context, c config.Config, bad error, env environment, w *workspace, rec *record) ([]plan.Target, error) {
	if bad != nil && !config.LocalDataset(c.Dataset) || concerns(bad, "benchmark", "dataset", "instances-file", "base-image-template") {
		return nil, nil
	}
	var rows []dataset.Row
	err := rec.timed("dataset", func() (err error) {
		rows, err = chooseRows(ctx, c, env, w, rec)
		return err
	})
	if err != nil || concerns(bad, "image", "target", "custom-tag-template", "sdk-options") {
		return nil, err
	}
	rec.wholePlan = dataset.IDs(rows)
	if makesEnvironments(c) {
		rec.describeEnvironments(c)
	}
	columns := map[string]map[string]string{}
	for _, row := range rows {
		columns[row.ID] = row.Columns
	}
	targets, err := plan.New(c, dataset.IDs(rows), columns)
	if err != nil || bad != nil {
		return nil, err
	}
	if err := checkLoaded(c, targets); err != nil {
		return nil, err
	}
	for _, warning := range c.Warnings() {
		rec.Warn(warning)
	}
	part := plan.Shard(targets, c.Shard)
	if len(c.VerifyImages) == 0 { // the command verify requests no image
		rec.set(func(f *ledger.Run) { f.PlannedTotal, f.Planned = len(targets), len(part) })
	}
	return part, nil
}

// chooseRows reads the dataset and selects rows like OpenHands/benchmarks (utils/dataset.py, get_dataset): first the instances that
// the user or the preset selects, then a sample of n-limit rows, then only rows that have an image.
func chooseRows(ctx context.Context, c config.Config, env environment, w *workspace, rec *record) ([]dataset.Row, error) {
	reader, err := newReader(c, env)
	if err != nil {
		return nil, err
	}
	if makesEnvironments(c) {
		reader.Optional = append(slices.Clone(evalenv.Columns), evalenv.OptionalColumn)
	}
	readDataset := func(name string) ([]byte, error) { return w.readFile(name, maxDatasetFile) }
	readInstances := func(name string) ([]byte, error) { return w.readFile(name, maxInstancesFile) }
	list, err := reader.Read(ctx, c.Dataset, c.Split, c.Columns(), readDataset)
	for _, warning := range list.Warnings {
		rec.Warn(warning)
	}
	if err != nil {
		return nil, err
	}
	rec.dataset = list
	rec.set(func(f *ledger.Run) { f.InstancesFrom = ledger.Text(list.From) })
	var chosen []dataset.Row
	if name := c.Selection(); name != "" {
		chosen, err = dataset.SelectList(list.Rows, name)
	} else {
		chosen, err = dataset.SelectRows(list.Rows, c.InstanceIDs, c.InstancesFile, readInstances)
	}
	if err != nil {
		return nil, err
	}
	drawn := dataset.NonBlank(dataset.Sample(chosen, c.Limit), c.Benchmark.RequiredColumn)
	rec.Info(fmt.Sprintf("%d of %d instances of %s, split %s, read from %s", len(drawn), len(list.Rows), c.Dataset, c.Split, list.From))
	if len(drawn) == 0 {
		return nil, &config.InputError{
			Input: "n-limit", Problem: "none of the chosen instances has an image",
			Fix: fmt.Sprintf("choose others: column %s of all of these is blank", c.Benchmark.RequiredColumn),
		}
	}
	return drawn, nil
}

// newReader returns the reader of datasets.
func newReader(c config.Config, env environment) (dataset.Reader, error) {
	hub, err := hubAddress(env)
	return dataset.Reader{Token: cmp.Or(c.HFToken, env.get("HF_TOKEN")), Hub: hub}, err
}

// The address of the Hugging Face hub, and the environment variable that changes it, as in Hugging Face's libraries.
const hubVariable, defaultHub = "HF_ENDPOINT", "https://huggingface.co"

func hubAddress(env environment) (*url.URL, error) {
	given := strings.TrimRight(cmp.Or(strings.TrimSpace(env.get(hubVariable)), defaultHub), "/")
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, &config.InputError{
			Input: "environment variable " + hubVariable, Problem: "it is not an address",
			Fix: "unset it, or write one such as " + defaultHub,
		}
	}
	return u, nil
}
