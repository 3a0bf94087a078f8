package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
)

// Plan is the result of a dry run: what a run would do.
type Plan struct {
	Title         string      `json:"title"`
	Benchmark     string      `json:"benchmark"`
	Dataset       string      `json:"dataset"`
	Split         string      `json:"split"`
	InstancesFrom ledger.Text `json:"instances_from"`
	Shard         ledger.Text `json:"shard"`
	PlannedTotal  int         `json:"planned_total"`

	SDKRef         ledger.Text `json:"sdk_ref"`
	SDKSHA         ledger.Text `json:"sdk_sha"`
	SDKVersion     ledger.Text `json:"sdk_version"`
	Image          string      `json:"image"`
	ImageTagPrefix ledger.Text `json:"image_tag_prefix"`
	Strategy       string      `json:"strategy"`
	// DeadlineSeconds and MissingAllowedPercent are those of a run, as in ledger.Run.
	DeadlineSeconds       float64 `json:"deadline_seconds"`
	MissingAllowedPercent int     `json:"missing_allowed_percent"`

	// Total is the number of Images: Present, Unknown and missing ones.
	Total  int            `json:"total"`
	Images []PlannedImage `json:"images"`

	// Present counts the images that exist, and Unknown those that could not be checked in the registry. Work is null without tags.
	Present  int      `json:"present"`
	Unknown  int      `json:"unknown"`
	Work     *Work    `json:"work"`
	Warnings []string `json:"warnings"`

	EvalEnv *ledger.EvalEnv `json:"eval_env,omitempty"`
}

// PlannedImage is one image of a Plan.
type PlannedImage struct {
	InstanceID string `json:"instance_id"`
	BaseImage  string `json:"base_image"`
	// Tags come from the SDK. They are empty without sdk-ref.
	Tags []string `json:"tags"`
	// Present is null when it is not known. Problem says why.
	Present *bool       `json:"present"`
	Digest  ledger.Text `json:"digest"`
	Problem ledger.Text `json:"problem"`
	// How says how a run would make the image. It is null when the image exists or its tags are not known. Reason says why it would
	// not be rebased, or why that is not known. EvalBase is "missing", "present", or null when it was not checked.
	How      ledger.Text `json:"how"`
	Reason   ledger.Text `json:"reason"`
	EvalBase ledger.Text `json:"eval_base"`
}

// NewPlan returns the plan of a run. found are the targets that exist or could not be checked in the registry; if tags are known, all
// other targets are missing. decisions say how a run would make the missing images, or with force all images.
func NewPlan(run ledger.Run, targets []plan.Target, found []*outcome.Outcome, decisions plan.Decisions, force bool) Plan {
	tagged := run.SDKSHA != ""
	p := Plan{
		Title: run.Title, Benchmark: run.Benchmark, Dataset: run.Dataset, Split: run.Split, InstancesFrom: run.InstancesFrom,
		Shard: run.Shard, PlannedTotal: run.PlannedTotal, SDKRef: ledger.Text(run.SDKRef), SDKSHA: run.SDKSHA,
		SDKVersion: run.SDKVersion, Image: run.Image, ImageTagPrefix: run.ImageTagPrefix, Strategy: run.Strategy,
		DeadlineSeconds: run.DeadlineSeconds, MissingAllowedPercent: run.MissingAllowedPercent,
		EvalEnv: run.EvalEnv, Total: len(targets), Images: []PlannedImage{}, Warnings: append([]string{}, run.Warnings...),
	}
	outcomes := map[string]*outcome.Outcome{}
	for _, o := range found {
		outcomes[o.Target.InstanceID] = o
	}
	if tagged {
		p.Work = &Work{EvalBases: missingEvalBases(decisions), VerifyBuilds: decisions.Verify}
	}
	for _, t := range targets {
		image := PlannedImage{InstanceID: t.InstanceID, BaseImage: t.BaseImage, Tags: append([]string{}, t.Tags...)}
		switch found := outcomes[t.InstanceID]; {
		case !tagged:
		case found == nil:
			image.Present = new(bool)
		case found.Err != nil:
			image.Problem = ledger.Text(oneLine(found.Err.Error(), longValue))
		default:
			present := true
			image.Present, image.Digest = &present, ledger.Text(found.Digest)
		}
		if tagged && (force || image.Problem == "" && !*image.Present) {
			image.setDecision(decisions.Images[t.InstanceID])
		}
		p.count(image)
		p.Images = append(p.Images, image)
	}
	return p
}

func (i *PlannedImage) setDecision(d plan.Decision) {
	i.How, i.Reason = ledger.Text(cmp.Or(d.How, plan.Native)), ledger.Text(oneLine(d.Reason, longValue))
	switch {
	case d.EvalBase == "": // it was not checked, or the registry did not answer
	case d.Missing:
		i.EvalBase = evalBaseMissing
	default:
		i.EvalBase = evalBasePresent
	}
}

// Values of PlannedImage.EvalBase.
const (
	evalBaseMissing ledger.Text = "missing"
	evalBasePresent ledger.Text = "present"
)

// decision says how a run would make the image.
func (i PlannedImage) decision() string {
	text := map[plan.How]string{
		plan.Native: "will be built natively", plan.Reference: "will be built natively as a reference", plan.Rebase: "will be rebased",
		plan.None: "will fail", plan.Unknown: "unknown strategy",
	}[plan.How(i.How)]
	if plan.How(i.How) == plan.Rebase && i.EvalBase == evalBaseMissing {
		text += " on a new eval-base"
	}
	if i.Reason != "" {
		text += ": " + string(i.Reason)
	}
	return text
}

// JSON writes the plan as JSON.
func (p Plan) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// noTags is the last line of a plan without sdk-ref.
const noTags = "Tags need sdk-ref: without it, the plan shows neither tags nor which images exist."

// Lines returns the plan as lines of text.
func (p Plan) Lines() []string {
	lines := []string{p.headline()}
	for _, image := range p.Images {
		lines = append(lines, image.InstanceID+"  "+image.BaseImage)
		for _, tag := range image.Tags {
			lines = append(lines, "    "+tag)
		}
		if p.Work != nil {
			lines = append(lines, "    "+image.state())
		}
	}
	return append(append(lines, evalEnvPlan(p.EvalEnv)...), p.workLeft(), fmt.Sprintf("Deadline: %s; fail-on: %s.", deadline(p.DeadlineSeconds), failOn(p.MissingAllowedPercent)))
}

func (p Plan) headline() string {
	head := fmt.Sprintf("Plan: %s of %s, split %s", plural(p.Total, "image", "images"), p.Dataset, p.Split)
	if p.Shard != "" {
		head += fmt.Sprintf(", shard %s of %d", p.Shard, p.PlannedTotal)
	}
	return head
}

func (i PlannedImage) state() string {
	state := "missing"
	switch {
	case i.Problem != "":
		state = "unknown: " + string(i.Problem)
	case *i.Present:
		state = "exists: " + cmp.Or(string(i.Digest), "yes")
	}
	if i.How == "" {
		return state
	}
	return state + "; " + i.decision()
}

func (p Plan) workLeft() string {
	switch {
	case p.Total == 0:
		return "This shard has no images."
	case p.Work == nil:
		return noTags
	}
	text := fmt.Sprintf("Work left: %s; %d of %s", p.Work.list(), p.Present, plural(p.Total, "image exists", "images exist"))
	if p.Unknown > 0 {
		text += fmt.Sprintf("; %d could not be checked in the registry", p.Unknown)
	}
	if p.Work.Unknown > 0 {
		text += fmt.Sprintf("; %d with unknown strategy", p.Work.Unknown)
	}
	return text + "."
}

// Markdown returns the plan as a step summary.
func (p Plan) Markdown() string {
	rows := [][]string{
		{"Dataset", text(p.Dataset, shortValue)},
		{"Split", text(p.Split, shortValue)},
		{"Instances read from", text(string(p.InstancesFrom), shortValue)},
		{"Shard", text(string(p.Shard), shortValue)},
		{"SDK ref", code(string(p.SDKRef), shortValue)},
		{"SDK commit", code(string(p.SDKSHA), shortValue)},
		{"Image", code(p.Image, shortValue)},
		{"Deadline", deadline(p.DeadlineSeconds)},
		{"Fail on", failOn(p.MissingAllowedPercent)},
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	head := joinParts([]string{
		"## " + text(cmp.Or(p.Title, "Image build"), shortValue) + ": plan\n",
		"🔎 **Dry run, nothing was built.** " + text(p.workLeft(), longValue) + "\n",
		warnings(p.Warnings), preformattedLines(evalEnvPlan(p.EvalEnv)), evaluationPrefix(p.Benchmark, p.ImageTagPrefix), details("Inputs of the plan", facts(rows)),
	})
	header := []string{"Instance", "Base image"}
	if p.Work != nil {
		header = append(header, "Tags", "State")
	}
	var images [][]string
	left := maxMarkdown - len(head)
	for _, image := range p.Images {
		row := image.row(p.Work != nil)
		if left -= len(strings.Join(row, " | ")) + 10; left < 1000 {
			break
		}
		images = append(images, row)
	}
	rest := ""
	if cut := len(p.Images) - len(images); cut > 0 {
		rest = fmt.Sprintf("\n… and %d more\n", cut)
	}
	return joinParts([]string{head, details(plural(p.Total, "image", "images"), table(header, images)+rest)})
}

func (i PlannedImage) row(tagged bool) []string {
	row := []string{code(i.InstanceID, shortValue), code(i.BaseImage, shortValue)}
	if !tagged {
		return row
	}
	var tags []string
	for _, tag := range i.Tags {
		tags = append(tags, code(tag[strings.LastIndexByte(tag, '/')+1:], shortValue))
	}
	return append(row, strings.Join(tags, " "), text(i.state(), shortValue))
}

// Work counts what a run would do if nothing fails. An image that could not be checked in the registry counts only with force-build.
type Work struct {
	// Builds counts the native builds of images, including references.
	Builds int `json:"builds"`
	// ReferenceBases counts the base stages that are built to compare references with.
	ReferenceBases int `json:"reference_bases"`
	// EvalBases counts the eval-bases that are missing. Each is one build.
	EvalBases int `json:"eval_bases"`
	// Rebases counts the rebased images.
	Rebases int `json:"rebases"`
	// VerifyBuilds counts the native builds that rebased images are compared with.
	VerifyBuilds int `json:"verify_builds"`
	// Unknown counts the missing images whose strategy is not known.
	Unknown int `json:"unknown"`
}

// count counts an image.
func (p *Plan) count(image PlannedImage) {
	if p.Work == nil {
		return
	}
	switch {
	case image.Problem != "":
		p.Unknown++
	case *image.Present:
		p.Present++
	}
	switch plan.How(image.How) {
	case plan.Reference:
		p.Work.ReferenceBases++
		p.Work.Builds++
	case plan.Native:
		p.Work.Builds++
	case plan.Rebase:
		p.Work.Rebases++
	case plan.Unknown:
		p.Work.Unknown++
	}
}

// missingEvalBases counts the eval-bases that a run would build. Images may share one.
func missingEvalBases(decisions plan.Decisions) int {
	missing := map[string]bool{}
	for _, d := range decisions.Images {
		if d.Missing {
			missing[d.EvalBase] = true
		}
	}
	return len(missing)
}

// list returns the work in words.
func (w Work) list() string {
	all := []string{plural(w.Builds, "build", "builds")}
	for _, more := range []struct {
		n         int
		one, many string
	}{
		{w.ReferenceBases, "base stage of a reference", "base stages of references"},
		{w.EvalBases, "eval-base", "eval-bases"},
		{w.Rebases, "rebase", "rebases"},
		{w.VerifyBuilds, "native build for verification", "native builds for verification"},
	} {
		if more.n > 0 {
			all = append(all, plural(more.n, more.one, more.many))
		}
	}
	return strings.Join(all, ", ")
}
