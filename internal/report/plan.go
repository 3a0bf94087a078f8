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

// Plan is what a run would do: the word of a dry run.
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

	// Total counts Images. Where tags are known, it is Present and Unknown and the images that are missing.
	Total  int            `json:"total"`
	Images []PlannedImage `json:"images"`

	// Present are the images that the registry has, Unknown those of which it did not say. Work is null without tags.
	Present  int      `json:"present"`
	Unknown  int      `json:"unknown"`
	Work     *Work    `json:"work"`
	Warnings []string `json:"warnings"`
}

// PlannedImage is one image of a Plan.
type PlannedImage struct {
	InstanceID string `json:"instance_id"`
	BaseImage  string `json:"base_image"`
	// Tags are as the SDK will make them; there are none without sdk-ref.
	Tags []string `json:"tags"`
	// Present is null where it is not known, for the reason in Problem.
	Present *bool       `json:"present"`
	Digest  ledger.Text `json:"digest"`
	Problem ledger.Text `json:"problem"`
	// How it would be made is null where it need not be, or where tags are not known. Reason is why it is not rebased, or why
	// that is not known. EvalBase is "missing" or "present", or null where that was not looked for.
	How      ledger.Text `json:"how"`
	Reason   ledger.Text `json:"reason"`
	EvalBase ledger.Text `json:"eval_base"`
}

// NewPlan makes a plan of a run's targets. found are those of which something came out when the registry was asked; the
// others are missing, where tags are known. With force what is there is made all the same. decisions say how.
func NewPlan(run ledger.Run, targets []plan.Target, found []*outcome.Outcome, decisions plan.Decisions, force bool) Plan {
	named := run.SDKSHA != ""
	p := Plan{
		Title: run.Title, Benchmark: run.Benchmark, Dataset: run.Dataset, Split: run.Split, InstancesFrom: run.InstancesFrom,
		Shard: run.Shard, PlannedTotal: run.PlannedTotal, SDKRef: ledger.Text(run.SDKRef), SDKSHA: run.SDKSHA,
		SDKVersion: run.SDKVersion, Image: run.Image, ImageTagPrefix: run.ImageTagPrefix, Strategy: run.Strategy,
		Total: len(targets), Images: []PlannedImage{}, Warnings: append([]string{}, run.Warnings...),
	}
	outcomes := map[string]*outcome.Outcome{}
	for _, o := range found {
		outcomes[o.Target.InstanceID] = o
	}
	if named {
		p.Work = &Work{EvalBases: missingEvalBases(decisions), VerifyBuilds: decisions.Verify}
	}
	for _, t := range targets {
		image := PlannedImage{InstanceID: t.InstanceID, BaseImage: t.BaseImage, Tags: append([]string{}, t.Tags...)}
		switch found := outcomes[t.InstanceID]; {
		case !named:
		case found == nil:
			image.Present = new(bool)
		case found.Err != nil:
			image.Problem = ledger.Text(oneLine(found.Err.Error(), longValue))
		default:
			there := true
			image.Present, image.Digest = &there, ledger.Text(found.Digest)
		}
		if named && (force || image.Problem == "" && !*image.Present) {
			image.decide(decisions.Images[t.InstanceID])
		}
		p.count(image)
		p.Images = append(p.Images, image)
	}
	return p
}

func (i *PlannedImage) decide(d plan.Decision) {
	i.How, i.Reason = ledger.Text(cmp.Or(d.How, plan.Natively)), ledger.Text(oneLine(d.Reason, longValue))
	switch {
	case d.EvalBase == "": // it was not looked for, or no answer came
	case d.Missing:
		i.EvalBase = evalBaseMissing
	default:
		i.EvalBase = evalBasePresent
	}
}

// Whether an image's eval-base is there, in the words of a plan in JSON.
const (
	evalBaseMissing ledger.Text = "missing"
	evalBasePresent ledger.Text = "present"
)

// decision says in words how an image would be made.
func (i PlannedImage) decision() string {
	text := map[plan.How]string{
		plan.Natively: "to be built natively", plan.AsReference: "a reference, built natively", plan.ByRebase: "to be rebased",
		plan.NotAtAll: "would fail", plan.Unknown: "unknown how it would be made",
	}[plan.How(i.How)]
	if plan.How(i.How) == plan.ByRebase && i.EvalBase == evalBaseMissing {
		text += ", on an eval-base to be made"
	}
	if i.Reason != "" {
		text += ": " + string(i.Reason)
	}
	return text
}

// JSON writes a plan as JSON.
func (p Plan) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// noTags is why a plan without sdk-ref ends where it does.
const noTags = "Tags need sdk-ref: without it, it is not known which images these are, nor which exist already."

// Lines are a plan for people, one line each.
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
	return append(lines, p.workLeft())
}

func (p Plan) headline() string {
	head := fmt.Sprintf("Plan: %s of %s, split %s", plural(p.Total, "image", "images"), p.Dataset, p.Split)
	if p.Shard != "" {
		head += fmt.Sprintf(", shard %s of %d", p.Shard, p.PlannedTotal)
	}
	return head
}

func (i PlannedImage) state() string {
	there := "missing"
	switch {
	case i.Problem != "":
		there = "unknown: " + string(i.Problem)
	case *i.Present:
		there = "exists: " + cmp.Or(string(i.Digest), "yes")
	}
	if i.How == "" {
		return there
	}
	return there + "; " + i.decision()
}

func (p Plan) workLeft() string {
	switch {
	case p.Total == 0:
		return "No image is in this part of the plan."
	case p.Work == nil:
		return noTags
	}
	text := fmt.Sprintf("Work left: %s; %d of %s there already", p.Work.list(), p.Present, plural(p.Total, "image is", "images are"))
	if p.Unknown > 0 {
		text += fmt.Sprintf("; of %d the registry did not say", p.Unknown)
	}
	if p.Work.Unknown > 0 {
		text += fmt.Sprintf("; of %d it is not known how they would be made", p.Work.Unknown)
	}
	return text + "."
}

// Markdown is a plan as a step summary.
func (p Plan) Markdown() string {
	rows := [][]string{
		{"Dataset", text(p.Dataset, shortValue)},
		{"Split", text(p.Split, shortValue)},
		{"Instances read from", text(string(p.InstancesFrom), shortValue)},
		{"Shard", text(string(p.Shard), shortValue)},
		{"SDK ref", code(string(p.SDKRef), shortValue)},
		{"SDK commit", code(string(p.SDKSHA), shortValue)},
		{"Image", code(p.Image, shortValue)},
		tagPrefix(p.Benchmark, p.ImageTagPrefix),
	}
	rows = slices.DeleteFunc(rows, func(row []string) bool { return row[1] == "" })
	head := join([]string{
		"## " + text(cmp.Or(p.Title, "Image build"), shortValue) + ": plan\n",
		"🔎 **Dry run, nothing was built.** " + text(p.workLeft(), longValue) + "\n",
		warnings(p.Warnings), section("What a run would make sure of", table([]string{"What", "Value"}, rows)),
	})
	header := []string{"Instance", "Base image"}
	if p.Work != nil {
		header = append(header, "Tags", "In the registry")
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
	return join([]string{head, folded(plural(p.Total, "image", "images"), table(header, images)+rest)})
}

func (i PlannedImage) row(named bool) []string {
	row := []string{code(i.InstanceID, shortValue), code(i.BaseImage, shortValue)}
	if !named {
		return row
	}
	var tags []string
	for _, tag := range i.Tags {
		tags = append(tags, code(tag[strings.LastIndexByte(tag, '/')+1:], shortValue))
	}
	return append(row, strings.Join(tags, " "), text(i.state(), shortValue))
}
