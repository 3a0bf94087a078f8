package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// way is how the images of a run were made, and what that took.
type way struct {
	name string
	// once is paid once in a run, before the first image is there; each is what every image costs, the wall time of several
	// at once divided by their number.
	once, each time.Duration
}

// forImages is the wall time of a run.
func (w way) forImages(n int) time.Duration { return w.once + time.Duration(n)*w.each }

// rivals measures the other ways at a new commit of the SDK, on bases of which the first is for what is paid once. agent is
// what the image with the agent takes, from which two of them copy.
func (b *bench) rivals(ctx context.Context, bases []string) (ways []way, agent time.Duration, err error) {
	commit, err := b.sdk.next(ctx)
	if err != nil {
		return nil, 0, err
	}
	var list strings.Builder
	for i, base := range bases {
		fmt.Fprintf(&list, "%s image-%d\n", base, i)
	}
	phases, err := b.script(ctx, "rivals.sh", list.String(), map[string]string{
		"REF": commit, "WORKERS": fmt.Sprint(slots), "IMAGE": b.image("rivals"),
		"INSIDE": b.Values["LAB_REGISTRY_INSIDE"], "OUTSIDE": b.Values["LAB_REGISTRY"],
	}, strings.Fields(b.Values["LAB_SDK_OPTIONS"])...)
	if err != nil {
		return nil, 0, err
	}
	return waysOf(phases, len(bases)-1), byName(phases)["agent"], nil
}

// rivalWays are the other ways as rivals.sh marks them, with their names in the table, and what rebase has to be: so many
// times faster for each image, and at 40 images with everything counted.
var rivalWays = []struct {
	mark, name string
	each, at40 float64
}{
	{"sdk", "P1: the SDK's build()", 1000, 5},
	{"thin", "P2: docker build, push and rmi of a thin Dockerfile", 1000, 5},
	{"linked", "P3: docker buildx build --push of it, with COPY --link", 5, 1},
}

// waysOf takes what the first image cost more than the others as what is paid once, where that is a layer that the others
// share. The first ones of the other ways are taken for warming up.
func waysOf(phases []phase, images int) (ways []way) {
	took := byName(phases)
	for _, r := range rivalWays {
		w := way{name: r.name, each: took[r.mark] / time.Duration(images)}
		if r.mark == "linked" {
			w.once = max(0, took[r.mark+"-first"]-w.each)
		}
		ways = append(ways, w)
	}
	return ways
}

// byName are phases by name; of two with one name it is their sum.
func byName(phases []phase) map[string]time.Duration {
	took := map[string]time.Duration{}
	for _, p := range phases {
		took[p.name] += p.took
	}
	return took
}
