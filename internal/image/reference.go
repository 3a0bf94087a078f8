package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/imagediff"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// wantedReferences is how many images rebases learn from: one alone does not show which part of a change its own base has
// hidden.
const wantedReferences = 2

// mostCandidates is how many targets are tried as references before the others are built natively.
const mostCandidates = 5

// references are the images that a run learns from. They are targets of it, built natively, or those that an earlier run has
// left under tags of their own. A final image is never learned from, because nobody can tell how it was made.
type references struct {
	known [wantedReferences]*reference // in the order of their tags
	// refused is a *rebase.Refusal when the references of earlier runs show that no image can be rebased.
	refused error
	// notUsed are the warnings about references that were found, by tag: a run that waits asks for them again and again.
	notUsed map[string]string

	done  chan struct{} // closed when agent or err is known
	agent agentDelta
	err   error
}

// agentDelta is what rebases put on eval-bases: what both references have in common.
type agentDelta struct {
	rebase.Delta
	repository  string // which has its layers
	sameBuilder bool   // this run's builder has made both references
}

// reference is an image that was learned from.
type reference struct {
	delta rebase.Delta
	// base is the base stage that image was compared with.
	image, base FetchedImage
	own         bool // this run has made it
}

func newReferences() *references {
	return &references{notUsed: map[string]string{}, done: make(chan struct{})}
}

// find learns from what other runs have left, in the places of references that are neither known nor being made. Anything wrong with
// such a reference only means that another one is made.
func (r *references) find(ctx context.Context, m *Maker, making map[int]bool) {
	for place := range wantedReferences {
		if m.Force || r.known[place] != nil || making[place] {
			continue
		}
		for _, repository := range m.evalBasePlaces() {
			if r.findIn(ctx, m, place, repository) {
				break
			}
		}
	}
}

// findIn learns from a reference in one repository, if it is there.
func (r *references) findIn(ctx context.Context, m *Maker, place int, repository string) bool {
	tag := repository + ":" + m.referenceTag(place+1)
	found, err := m.loadReference(ctx, tag)
	switch {
	case err == nil:
		r.known[place] = &found
		m.used.add(m.referenceTag(place + 1))
		m.report.Reference(ledger.Reference{Tag: tag, Digest: ledger.Text(found.image.Digest), Reused: true})
	case ctx.Err() != nil:
	case !errors.Is(err, registry.ErrNotFound), errors.Is(err, errIncomplete):
		warning := fmt.Sprintf("The reference %s is not used: %v", tag, err)
		if r.notUsed[tag] != warning {
			m.report.Warn(warning)
		}
		r.notUsed[tag] = warning
	}
	return err == nil
}

// askAgain is the time between two looks for the references of another run. One look is a few requests, and a build of a reference takes
// minutes.
const askAgain = 15 * time.Second

// await waits until another run has left the references that are missing, has said that it leaves none, or ReferencesWait is over.
func (r *references) await(ctx context.Context, m *Maker) {
	if m.ReferencesWait == 0 || r.missing() == 0 {
		return
	}
	m.report.Info(fmt.Sprintf("waiting up to %s for the references, which the first shard makes", m.ReferencesWait))
	begin, over := time.Now(), time.After(m.ReferencesWait)
	for r.missing() > 0 {
		if m.firstSaidNone(ctx) {
			m.report.Info("the first shard leaves no references: this one makes its own")
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-over:
			m.report.Warn(fmt.Sprintf("The first shard has left no references in %s: this one makes its own.", m.ReferencesWait))
			return
		case <-time.After(askAgain):
			r.find(ctx, m, nil)
		}
	}
	m.report.Info(fmt.Sprintf("the references are there after %s", time.Since(begin).Round(time.Second)))
}

// disagree is why no image can be rebased, as far as the references that are known show it.
func (r *references) disagree() error {
	if r.missing() > 0 {
		return nil
	}
	_, err := rebase.Intersect(r.known[0].delta, r.known[1].delta)
	var differ *rebase.LayersDiffer
	if errors.As(err, &differ) { // whether their files are equal is looked at later
		return nil
	}
	return err
}

// missing is how many references are not known yet.
func (r *references) missing() (n int) {
	for _, known := range r.known {
		if known == nil {
			n++
		}
	}
	return n
}

// wait returns what rebases put on eval-bases, when the references are known. Errors are a *rebase.Refusal, or a
// *failure.Error that concerns all images.
func (r *references) wait(ctx context.Context) (agentDelta, error) {
	select {
	case <-r.done:
		return r.agent, r.err
	case <-ctx.Done():
		return agentDelta{}, failure.NotStarted(ctx)
	}
}

// referenceTag is the tag of the first or the second reference.
func (m *Maker) referenceTag(i int) string {
	return fmt.Sprintf("reference-%s-%s-%d", m.SHA, m.BaseStage.Set, i)
}

// loadReference reads a reference, and the image that it is compared with, which its annotations name.
func (m *Maker) loadReference(ctx context.Context, tag string) (reference, error) {
	final, err := Fetch(ctx, m.registry, tag)
	if err != nil {
		return reference{}, err
	}
	repository, digest := rebase.BaseOf(final.Manifest)
	if digest == "" {
		return reference{}, errors.New("it does not name its base")
	}
	base, err := Fetch(ctx, m.registry, repository+"@"+digest)
	if err != nil {
		return reference{}, fmt.Errorf("reading its base: %v", err) // a base that is missing does not make the reference missing
	}
	delta, err := rebase.Diff(final.Image, base.Image, m.BaseStage.Uses)
	if err != nil {
		return reference{}, err
	}
	for _, l := range delta.Layers {
		if there, err := m.registry.HasBlob(ctx, final.Repository, l.Digest); err != nil || !there {
			return reference{}, fmt.Errorf("the registry has not its layer %s (%v)", l.Digest, err)
		}
	}
	return reference{delta: delta, image: final, base: base}, nil
}

// learn makes the references that are missing out of the candidates, and then tells all images what to put on their
// eval-bases. Each candidate that was built is given to ended; the others are returned when the references are known.
func (m *Maker) learn(ctx context.Context, candidates []plan.Target, warm *warmEvalBases, ended func(*outcome.Outcome)) (unused []plan.Target) {
	r := m.references
	begin := time.Now()
	defer func() { m.report.Phase("references", begin) }()
	defer close(r.done)
	r.await(ctx, m)
	if r.missing() == 0 {
		r.agent, r.err = m.conclude(ctx, nil)
		return candidates
	}
	select {
	case <-m.bases.ready:
	case <-ctx.Done():
	}
	if err := m.mayPushEvalBases(ctx); err != nil {
		m.sayNoReferences(ctx)
		r.err = err
		return candidates
	}
	unused, last := m.makeReferences(ctx, candidates, warm, ended)
	if r.missing() > 0 {
		m.sayNoReferences(ctx)
	}
	r.agent, r.err = m.conclude(ctx, last)
	return unused
}

// makeReferences builds candidates until no reference is missing, or no candidate is left. The second begins when the first has
// passed the stages that both share. One that fails is followed by another one, unless every image would fail in that way. It returns
// the candidates that were not built, and the last failure.
func (m *Maker) makeReferences(
	ctx context.Context, candidates []plan.Target, warm *warmEvalBases, ended func(*outcome.Outcome),
) (unused []plan.Target, last error) {
	type built struct {
		place int
		reference
		err error
	}
	r := m.references
	queue, spare := slices.Clone(candidates[:r.missing()]), candidates[r.missing():]
	builds, building := make(chan built), map[int]bool{}
	stages := map[string]*baseStageBuild{}
	now := make(chan struct{})
	close(now)
	for r.missing() > 0 {
		mayBegin := m.canary.Open() // one that is under way has passed what both share
		switch {
		case r.missing() == len(building) || len(queue) == 0 || failure.ConcernsAll(last):
			mayBegin = nil
		case len(building) == 0:
			mayBegin = now
		}
		if mayBegin == nil && len(building) == 0 {
			break
		}
		select {
		case <-mayBegin:
			for _, next := range queue { // what the next one needs alone does not wait for what is shared
				if stages[next.InstanceID] == nil {
					stages[next.InstanceID] = m.startBaseStage(ctx, next)
				}
			}
			t, stage, place := queue[0], stages[queue[0].InstanceID], r.freePlace(building)
			queue, building[place] = queue[1:], true
			go func() {
				found, err := m.makeReference(ctx, t, place, stage, ended)
				builds <- built{place, found, err}
			}()
		case b := <-builds:
			delete(building, b.place)
			if b.err == nil {
				r.known[b.place] = &b.reference
				continue
			}
			last = b.err
			if !failure.ConcernsAll(last) {
				r.find(ctx, m, building) // of a run that makes the same images: it may have overwritten this one
			}
			if r.missing() > len(building)+len(queue) {
				failed, next, rest := warm.next(spare)
				unused, queue, spare = append(unused, failed...), append(queue, next...), rest
			}
		}
	}
	for _, t := range queue { // an image's stage is not needed when it becomes no reference
		if stage := stages[t.InstanceID]; stage != nil {
			stage.cancel()
			<-stage.ended
		}
	}
	return slices.Concat(queue, unused, spare), last
}

// freePlace is a reference's place that is neither known nor being made.
func (r *references) freePlace(building map[int]bool) int {
	place := 0
	for r.known[place] != nil || building[place] {
		place++
	}
	return place
}

// makeReference builds a target's whole image and compares what landed in the registry with its base stage for the same
// commit. The error says why there is nothing to learn from it.
func (m *Maker) makeReference(ctx context.Context, t plan.Target, place int, stage *baseStageBuild, ended func(*outcome.Outcome)) (reference, error) {
	out := m.Image(ctx, t, m.native)
	ended(out)
	if out.Err != nil || out.Skipped {
		stage.cancel()
		<-stage.ended
	}
	switch {
	case out.Err != nil:
		return reference{}, failure.ForOthers(t.InstanceID, out.Err)
	case out.Skipped:
		return reference{}, fmt.Errorf("%s is there already, and nobody can tell how it was made", t.InstanceID)
	}
	found, err := m.compareWithStage(ctx, out, stage)
	if err != nil {
		if ctx.Err() == nil {
			m.report.Warn(fmt.Sprintf("%s is not used as a reference: %v", t.InstanceID, err))
		}
		return reference{}, failure.ForOthers(t.InstanceID, err)
	}
	tag := m.EvalBaseRepository + ":" + m.referenceTag(place+1)
	if err := m.registry.CopyImage(ctx, found.image.Repository, annotatedReference(found.image, found.base), tag); err != nil {
		if ctx.Err() == nil {
			m.report.Warn(fmt.Sprintf("The reference %s is lost for other shards and later runs: %v", tag, err))
		}
		m.sayNoReferences(ctx)
		tag = out.Tags[0] // the same image, which no other run learns from
	} else {
		m.used.add(m.referenceTag(place + 1))
	}
	m.report.Reference(ledger.Reference{Instance: ledger.Text(t.InstanceID), Tag: tag, Digest: ledger.Text(found.image.Digest)})
	return found, nil
}

// annotatedReference is a reference's manifest, which names its base stage.
func annotatedReference(image, base FetchedImage) registry.Manifest {
	return registry.Manifest{MediaType: image.MediaType, Raw: rebase.WithBase(image.Manifest, base.Repository, base.Digest)}
}

func (m *Maker) compareWithStage(ctx context.Context, out *outcome.Outcome, stage *baseStageBuild) (reference, error) {
	<-stage.ended
	if stage.err != nil {
		return reference{}, fmt.Errorf("making its base stage: %w", stage.err)
	}
	base, err := Fetch(ctx, m.registry, stage.tags[0])
	if err != nil {
		return reference{}, fmt.Errorf("reading its base stage: %w", err)
	}
	final, err := Fetch(ctx, m.registry, repositoryOf(out.Tags[0])+"@"+out.Digest)
	if err != nil {
		return reference{}, fmt.Errorf("reading it: %w", err)
	}
	delta, err := rebase.Diff(final.Image, base.Image, m.BaseStage.Uses)
	return reference{delta: delta, image: final, base: base, own: true}, err
}

// baseStageBuild is the build of a candidate's base stage for the run's commit, which runs beside the whole image's.
type baseStageBuild struct {
	cancel context.CancelFunc
	ended  chan struct{}
	tags   []string
	err    error
}

// baseStageLog is in the name of the log of a base stage, which is made beside the whole image.
const baseStageLog = ".base-stage"

func (m *Maker) startBaseStage(ctx context.Context, t plan.Target) *baseStageBuild {
	ctx, cancel := context.WithCancel(ctx)
	stage := &baseStageBuild{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(stage.ended)
		defer cancel()
		stage.tags, stage.err = m.buildBaseStage(ctx, t, "reference-base-"+m.baseStageHash(t)+"-"+m.nonce, true)
	}()
	return stage
}

func (m *Maker) baseStageHash(t plan.Target) string {
	told, _ := json.Marshal([]string{m.BaseStage.Set, t.InstanceID}) // strings always encode
	sum := sha256.Sum256(told)
	return hex.EncodeToString(sum[:])[:16]
}

// buildBaseStage builds the base stage of the run's commit for a target, in a slot and with retries. With inspect it refuses a
// target whose eval-base would be refused: what is learned from a reference is put on all others, and has to be what a build
// on an ordinary base image makes.
func (m *Maker) buildBaseStage(ctx context.Context, t plan.Target, customTag string, inspect bool) (tags []string, err error) {
	log := m.logOf(t.InstanceID, baseStageLog)
	out := &outcome.Outcome{Target: t}
	err = m.retries.Do(ctx, out, func() error {
		return m.inSlot(ctx, t, out, func() error {
			ctx, cancel := m.withTimeout(ctx)
			defer cancel()
			base, err := m.makePipBase(ctx, t, out)
			if err != nil {
				return err
			}
			out.Enter(outcome.BaseStage)
			response, err := m.buildWithSDK(ctx, sdkBuild{
				Request: BaseStageRequest(m.Request, m.EvalBaseRepository, "", base, customTag), What: "its base stage, ", Log: log,
			}, out)
			if err != nil {
				return err
			}
			tags = response.Tags
			if !inspect {
				return nil
			}
			out.Enter(outcome.Inspect)
			mark, err := m.inspect(ctx, base, tags[0], log)
			if err != nil {
				return fmt.Errorf("inspecting the base stage: %w", err)
			}
			if mark != rebase.MarkPlain {
				return &rebase.Refusal{Reason: strings.TrimPrefix(mark, rebase.MarkRefused)}
			}
			return nil
		})
	})
	m.reportBeside("base stage", out)
	return tags, err
}

// reportBeside reports work for a target, beside that on its image.
func (m *Maker) reportBeside(what string, out *outcome.Outcome) {
	out.Finished = time.Now()
	m.report.Beside(what, out)
}

// conclude returns what the references agree on. last is why there are too few of them.
func (m *Maker) conclude(ctx context.Context, last error) (agentDelta, error) {
	r := m.references
	switch {
	case r.missing() == 0:
	case ctx.Err() != nil:
		return agentDelta{}, failure.NotStarted(ctx)
	case failure.ConcernsAll(last):
		return agentDelta{}, last
	case last == nil:
		return agentDelta{}, &rebase.Refusal{Reason: "there are not two images to learn from"}
	default:
		return agentDelta{}, &rebase.Refusal{Reason: fmt.Sprintf("there are not two images to learn from: %v", last)}
	}
	first, second := r.known[0], r.known[1]
	delta, err := rebase.Intersect(first.delta, second.delta)
	agent := agentDelta{Delta: delta, repository: first.image.Repository, sameBuilder: first.own && second.own}
	var differ *rebase.LayersDiffer
	if !errors.As(err, &differ) {
		return agent, err
	}
	if err := m.sameTrees(ctx, first.image, second.image, len(first.delta.Layers)); err != nil {
		return agentDelta{}, &rebase.Refusal{Reason: fmt.Sprintf("the references' agent layers are not alike: %v", err)}
	}
	m.report.Warn("The references' agent layers have equal files, but not one digest: this builder does not make the same layer twice. " +
		"Rebased images get that of the first.")
	agent.Delta = differ.Delta
	return agent, nil
}

// sameTrees compares the agent layers, the topmost ones, of two references whose digests differ.
func (m *Maker) sameTrees(ctx context.Context, first, second FetchedImage, agentLayers int) error {
	below, err := layersBelow(first, second, agentLayers)
	if err != nil {
		return err
	}
	python := &sdk.PycComparer{Path: m.Python}
	defer python.Close()
	found, err := imagediff.CompareAgents(ctx, m.registry, comparable(first), comparable(second), imagediff.Options{BaseLayers: below, Pyc: python})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New(imagediff.List(found, maxDifferences))
	}
	m.report.TreesCompared()
	return nil
}

// warmEvalBases are the candidates whose eval-base could not be made while others became references.
type warmEvalBases struct {
	mu   sync.Mutex
	errs map[string]error // by instance
}

// make makes the eval-base of a candidate that may yet be rebased. An error only means that the candidate is not used as a
// reference; its image tries again.
func (w *warmEvalBases) make(ctx context.Context, m *Maker, t plan.Target) {
	defer m.report.Doing(t, "", "")
	out := &outcome.Outcome{Target: t}
	err := m.retries.Do(ctx, out, func() error {
		d, err := m.lookUp(ctx, out, func() (Decision, error) { return m.Decide(ctx, t) })
		if err != nil {
			m.bases.answered(t)
			return err
		}
		_, err = m.evalBase(ctx, t, d, out)
		return err
	})
	m.reportBeside("eval-base of a candidate", out)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs[t.InstanceID] = err
}

// next returns the next candidate, if there is one: the first whose eval-base has not failed so far. failed are those before it.
func (w *warmEvalBases) next(spare []plan.Target) (failed, next, rest []plan.Target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range spare {
		if w.errs[t.InstanceID] == nil {
			return spare[:i], spare[i : i+1], spare[i+1:]
		}
	}
	return spare, nil, nil
}

// Candidates orders targets by how well they serve as references: the first one, then the one whose base image has the name
// most unlike it (another repository, so mostly another environment), then the others. One change is learned from both, so
// the less they have in common, the less it can hide. Base images that need Python packages first come last, and after them
// targets that cannot be built natively.
func Candidates(targets []plan.Target) []plan.Target {
	ordered := slices.Clone(targets)
	slices.SortStableFunc(ordered, func(a, b plan.Target) int { return rank(a) - rank(b) })
	if len(ordered) < wantedReferences {
		return ordered
	}
	first, unlike := ordered[0], 1
	for i := 2; i < len(ordered); i++ {
		if rank(ordered[i]) == rank(ordered[unlike]) && commonPrefix(first, ordered[i]) < commonPrefix(first, ordered[unlike]) {
			unlike = i
		}
	}
	second := ordered[unlike]
	return slices.Concat([]plan.Target{first, second}, slices.Delete(ordered[1:], unlike-1, unlike))
}

// rank is the place of a target among candidates: the smaller one comes first.
func rank(t plan.Target) int {
	switch {
	case t.NotNative != "":
		return 2
	case t.PipRequirements != "":
		return 1
	}
	return 0
}

// buildable counts the targets that can be built natively: the first ones among candidates.
func buildable(candidates []plan.Target) (n int) {
	for _, t := range candidates {
		if t.NotNative == "" {
			n++
		}
	}
	return n
}

// commonPrefix is how long the names of two base images are the same.
func commonPrefix(a, b plan.Target) int {
	n := 0
	for n < min(len(a.BaseImage), len(b.BaseImage)) && a.BaseImage[n] == b.BaseImage[n] {
		n++
	}
	return n
}
