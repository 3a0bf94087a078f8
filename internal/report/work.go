package report

import "strings"

// Work is what is left to do, if nothing fails. An image of which the registry did not say whether it is there counts
// only when builds are forced: else a run asks again.
type Work struct {
	// Builds are the images that the SDK builds, references among them.
	Builds int `json:"builds"`
	// ReferenceBases are the base stages that references are compared with, one build each.
	ReferenceBases int `json:"reference_bases"`
	// EvalBases are those that have to be made, one build each.
	EvalBases int `json:"eval_bases"`
	// Rebases are the images that are rebased.
	Rebases int `json:"rebases"`
	// VerifyBuilds are native builds of images that are rebased too.
	VerifyBuilds int `json:"verify_builds"`
	// Unknown are missing images of which it is not known how they would be made. All that follows from that is not
	// counted.
	Unknown int `json:"unknown"`
	// Requests are a run's own to registries, reads and writes:
	//   - to find out what is there, a HEAD for each tag of an image that is, one for an image that is not, and none when
	//     builds are forced;
	//   - of a build, one more when its turn has come (none when forced), and one for each tag that was pushed;
	//   - of a reference besides, two GETs each, manifest and configuration, for it and its base stage, and the PUT of the
	//     reference's own tag;
	//   - of references of earlier runs, one GET where there is none, else two for it and two for its base stage; none when
	//     forced;
	//   - of an image that may be rebased, a HEAD for the digest of its base image, and a GET for the manifest of its
	//     eval-base, with one for the configuration where that is there; where it has to be made, two when it is;
	//   - of an eval-base to be made, a GET that confirms the digest of the base image, two GETs of what the SDK has pushed,
	//     and the PUT of its tag;
	//   - of a rebase, a HEAD when its turn has come (none when forced), POST and PUT of the configuration, and a PUT for
	//     each tag;
	//   - when anything is rebased, POST and PUT and PUT, once, to see whether the registry takes what is not complete;
	//   - of a verification, a HEAD for each tag that was pushed, two GETs for each of the two images, and a DELETE for each
	//     tag.
	//
	// Not among them are BuildKit's, handshakes and tokens, the look whether the registry takes pushes, wraps of base
	// images, GETs of base images whose eval-base was made under another name, further attempts, looks for the layers of an earlier run's references, mounts from another repository, and
	// layers that are read to compare files.
	Requests int `json:"requests"`
}

const (
	wholeImage     = 2 // GETs: manifest and configuration
	blobWrite      = 2 // POST and PUT
	manifestWrite  = 1
	manifestHead   = 1
	manifestRead   = 1
	referenceReads = 2 * wholeImage // it and its base stage
)

// count adds an image of a run's targets to the plan.
func (p *Plan) count(image PlannedImage, force bool) {
	if p.Work == nil {
		return
	}
	// A run asks for each tag of each image, but for no more when one is missing.
	first := manifestHead
	switch {
	case image.Problem != "":
		p.Unknown++
	case *image.Present:
		p.Present++
		first = manifestHead * len(image.Tags)
	}
	if !force {
		p.Work.Requests += first
	}
	p.Work.add(image, force)
}

// add counts what it takes to make an image; none when it need not be made.
func (w *Work) add(image PlannedImage, force bool) {
	turn := manifestHead // once more when the image's turn has come
	if force {
		turn = 0
	}
	switch How(image.How) {
	case HowReference:
		w.ReferenceBases++
		w.Requests += referenceReads + manifestWrite
		fallthrough
	case HowNative:
		w.Builds++
		w.Requests += turn + manifestHead*len(image.Tags)
	case HowRebase:
		w.Rebases++
		w.Requests += turn + blobWrite + manifestWrite*len(image.Tags)
	case HowUnknown:
		w.Unknown++
		return
	}
	switch image.EvalBase {
	case evalBaseMissing:
		w.Requests += manifestHead + manifestRead + wholeImage
	case evalBasePresent:
		w.Requests += manifestHead + wholeImage
	}
}

// addShared counts what images have in common. tags is how many an image has.
func (w *Work) addShared(f Foreseen, tags int) {
	made := map[string]bool{}
	for _, m := range f.Images {
		if m.Unmade {
			made[m.EvalBase] = true
		}
	}
	w.EvalBases, w.VerifyBuilds = len(made), f.Verify
	w.Requests += len(made)*(manifestRead+wholeImage+manifestWrite) + f.ReferencesFound*referenceReads + f.ReferencesMissing*manifestRead
	w.Requests += f.Verify * (2*wholeImage + 2*tags)
	if w.Rebases > 0 {
		w.Requests += blobWrite + manifestWrite
	}
}

// list is the work in words.
func (w Work) list() string {
	all := []string{plural(w.Builds, "build", "builds")}
	for _, more := range []struct {
		n         int
		one, many string
	}{
		{w.ReferenceBases, "base stage of a reference", "base stages of references"},
		{w.EvalBases, "eval-base", "eval-bases"},
		{w.Rebases, "rebase", "rebases"},
		{w.VerifyBuilds, "build to compare with", "builds to compare with"},
	} {
		if more.n > 0 {
			all = append(all, plural(more.n, more.one, more.many))
		}
	}
	return strings.Join(all, ", ") + " and " + plural(w.Requests, "request", "requests") + " to registries"
}
