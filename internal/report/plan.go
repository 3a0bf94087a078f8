package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
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
	Present int `json:"present"`
	// BasesMissing counts the missing images whose base image does not exist, and Impossible all images that cannot be made.
	BasesMissing int      `json:"bases_missing"`
	Impossible   int      `json:"cannot_be_made"`
	Unknown      int      `json:"unknown"`
	Work         *Work    `json:"work"`
	Warnings     []string `json:"warnings"`

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
	// EvalBaseTag is its tag in the repository of eval-bases, or null when the digest of the base image is not known.
	EvalBaseTag ledger.Text `json:"eval_base_tag"`
	// BaseState is "present" or "missing", or null when it is not known. BaseProblem is what its registry said instead, and Class the
	// class of failure of that, or of Reason.
	BaseState   ledger.Text `json:"base_state"`
	BaseProblem ledger.Text `json:"base_problem"`
	Class       ledger.Text `json:"error_class"`
}

// impossible reports whether a run could not make the image.
func (i PlannedImage) impossible() bool {
	return i.How != "" && (i.BaseState == plan.BaseMissing || plan.How(i.How) == plan.None)
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
	i.BaseState, i.BaseProblem, i.Class = ledger.Text(d.Base), ledger.Text(oneLine(d.BaseProblem, longValue)), ledger.Text(d.Class)
	switch {
	case d.EvalBase == "": // it was not checked, or the registry did not answer
	case d.Missing:
		i.EvalBase = evalBaseMissing
	default:
		i.EvalBase = evalBasePresent
	}
	if d.Base == plan.BasePresent {
		i.EvalBaseTag = ledger.Text(d.EvalBase)
	}
}

// Values of PlannedImage.EvalBase.
const (
	evalBaseMissing ledger.Text = "missing"
	evalBasePresent ledger.Text = "present"
)

// decision says how a run would make the image.
func (i PlannedImage) decision() string {
	if i.BaseState == plan.BaseMissing {
		return "cannot be made: its base image does not exist"
	}
	text := map[plan.How]string{
		plan.Native: "will be built natively", plan.Reference: "will be built natively as a reference", plan.Rebase: "will be rebased",
		plan.None: "cannot be made", plan.Unknown: "unknown strategy",
	}[plan.How(i.How)]
	if plan.How(i.How) == plan.Rebase && i.EvalBase == evalBaseMissing {
		text += " on a new eval-base"
	}
	if i.Reason != "" {
		text += ": " + string(i.Reason)
	}
	return text
}

// JSON writes the plan as JSON. It applies redact to the texts that programs and servers wrote: they may repeat a secret.
func (p Plan) JSON(w io.Writer, redact func(string) string) error {
	p.Images = slices.Clone(p.Images)
	for i := range p.Images {
		for _, text := range []*ledger.Text{&p.Images[i].Problem, &p.Images[i].Reason, &p.Images[i].BaseProblem} {
			*text = ledger.Text(redact(string(*text)))
		}
	}
	if p.EvalEnv != nil {
		environments := *p.EvalEnv
		environments.Images = slices.Clone(environments.Images)
		for i := range environments.Images {
			environments.Images[i].Error = ledger.Text(redact(string(environments.Images[i].Error)))
		}
		p.EvalEnv = &environments
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(p)
}

// noTags is the last line of a plan without sdk-ref.
const noTags = "Tags need sdk-ref: without it, the plan shows neither tags nor which images exist."

// Lines returns the plan as lines of text.
func (p Plan) Lines() []string {
	lines := []string{p.scope()}
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

// scope says which images the plan is of.
func (p Plan) scope() string {
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
	if p.Impossible > 0 {
		text += fmt.Sprintf("; %d cannot be made", p.Impossible)
	}
	if p.Unknown > 0 {
		text += fmt.Sprintf("; %d could not be checked in the registry", p.Unknown)
	}
	if p.Work.Unknown > 0 {
		text += fmt.Sprintf("; %d with unknown strategy", p.Work.Unknown)
	}
	return text + "."
}

// Fails reports whether more images cannot be made than may be missing.
func (p Plan) Fails() bool { return 100*p.Impossible > p.MissingAllowedPercent*p.Total }

// headline says in one line of plain text what stands in the way of a run, or what it would do.
func (p Plan) headline() string {
	var problems []string
	if p.BasesMissing > 0 {
		problems = append(problems, fmt.Sprintf("%d of %s %s not exist", p.BasesMissing, plural(p.Total, "base image", "base images"), does(p.BasesMissing)))
	}
	if n := p.Impossible - p.BasesMissing; n > 0 {
		problems = append(problems, fmt.Sprintf("%d of %s cannot be made", n, plural(p.Total, "image", "images")))
	}
	if len(problems) > 0 {
		sign := "⚠️"
		if p.Fails() {
			sign = "❌"
		}
		return sign + " Dry run: " + strings.Join(problems, "; ")
	}
	return "🔎 Dry run: " + p.workLeft()
}

// Markdown returns the plan as a step summary: what stands in the way first, then what a run would do. Long lists are collapsed.
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
	state := ""
	if p.Impossible > 0 {
		state = "\n" + text(p.workLeft(), longValue) + "\n"
	}
	head := joinParts([]string{
		"## " + text(strings.TrimSuffix(p.headline(), "."), longValue) + "\n",
		text(cmp.Or(p.Title, "Image build"), shortValue) + ". Nothing was built.\n" + state,
		p.groups(), warnings(p.Warnings), preformatted(strings.Join(evalEnvPlan(p.EvalEnv), "\n")), p.repositories(),
		evaluationPrefix(p.Benchmark, p.ImageTagPrefix), details("Inputs of the plan", facts(rows)),
	})
	lines, cut := p.list(p.Images, true, maxMarkdown-len(head)-2000)
	if cut > 0 {
		lines += fmt.Sprintf("\n… and %d more: <code>--dry-run --format json</code> has all.\n", cut)
	}
	return joinParts([]string{head, details(plural(p.Total, "image", "images"), lines)})
}

// groups are the images that stand in the way of a run, by what to do about them.
func (p Plan) groups() string {
	type group struct{ heading, hint string }
	images := map[group][]PlannedImage{}
	for _, i := range p.Images {
		var g group
		switch {
		case i.How == "":
			continue
		case i.BaseState == plan.BaseMissing:
			g = group{noBase, failure.Hint(failure.ClassBaseMissing)}
		case plan.How(i.How) == plan.None:
			g = group{"cannot be made", failure.Hint(failure.ClassRefused)}
		case i.BaseProblem != "" || plan.How(i.How) == plan.Unknown:
			class := failure.Class(i.Class)
			g = group{"to make in a way that is not known: " + class.Words(), failure.HintFor(class, string(i.BaseProblem+i.Reason))}
		default:
			continue
		}
		images[g] = append(images[g], i)
	}
	rank := func(g group) int {
		if g.heading == noBase { // most likely one input is wrong for all of them
			return 0
		}
		return 1
	}
	order := slices.SortedFunc(maps.Keys(images), func(a, b group) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(images[b]), len(images[a])), cmp.Compare(a.heading, b.heading), cmp.Compare(a.hint, b.hint))
	})
	var parts []string
	for _, g := range order[:min(maxGroups, len(order))] {
		n := len(images[g])
		heading := plural(n, "image", "images") + " " + g.heading
		if g.heading == noBase {
			heading = plural(n, "base image", "base images") + " " + does(n) + " not exist"
		}
		first, _ := p.list(images[g][:min(failuresShown, n)], false, maxMarkdown)
		rest, cut := p.list(images[g][min(failuresShown, n):], false, 100_000)
		if cut > 0 {
			rest += fmt.Sprintf("\n… and %d more.\n", cut)
		}
		parts = append(parts, section(text(heading, shortValue), "**What to do:** "+text(g.hint, longValue)+".\n", first,
			details(fmt.Sprintf("%d more", max(0, n-failuresShown)), rest)))
	}
	return joinParts(parts)
}

// noBase is the problem of images whose base image does not exist.
const noBase = "without a base image"

func does(n int) string {
	if n == 1 {
		return "does"
	}
	return "do"
}

// repositories counts the images by the repository of code that their instances are of.
func (p Plan) repositories() string {
	if p.Work == nil {
		return ""
	}
	type count struct{ all, present, impossible int }
	counts := map[string]count{}
	for _, i := range p.Images {
		name := i.InstanceID
		if dash := strings.LastIndexByte(name, '-'); dash > 0 {
			name = name[:dash]
		}
		c := counts[name]
		c.all++
		if i.Present != nil && *i.Present {
			c.present++
		}
		if i.impossible() {
			c.impossible++
		}
		counts[name] = c
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b].all, counts[a].all), cmp.Compare(a, b))
	})
	if len(names) < 2 {
		return ""
	}
	var lines []string
	for n, name := range names {
		if n == maxReasons {
			lines = append(lines, fmt.Sprintf("- … and %d more repositories\n", len(names)-n))
			break
		}
		c := counts[name]
		line := fmt.Sprintf("- %s: %s, %d exist", code(name, shortValue), plural(c.all, "image", "images"), c.present)
		if c.impossible > 0 {
			line += fmt.Sprintf(", %d cannot be made", c.impossible)
		}
		lines = append(lines, line+"\n")
	}
	return section("By repository", strings.Join(lines, ""))
}

// list has a line for each image, in at most room bytes. It returns how many did not fit.
func (p Plan) list(images []PlannedImage, tags bool, room int) (lines string, cut int) {
	var all strings.Builder
	for i, image := range images {
		line := "- " + code(image.InstanceID, shortValue)
		if p.Work != nil {
			line += ": " + text(image.state(), shortValue)
			if image.BaseProblem != "" {
				line += "; " + reason(string(image.BaseProblem))
			}
		}
		line += "<br>on " + code(image.BaseImage, shortValue)
		for _, tag := range image.Tags {
			if !tags {
				break
			}
			line += "<br>" + code(tag[strings.LastIndexByte(tag, '/')+1:], shortValue)
		}
		if all.Len()+len(line) > room {
			return all.String(), len(images) - i
		}
		all.WriteString(line + "\n")
	}
	return all.String(), 0
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
	if image.impossible() {
		p.Impossible++
		if image.BaseState == plan.BaseMissing {
			p.BasesMissing++
		}
		return
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
