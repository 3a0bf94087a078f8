package bench

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// way is one way to make images, and its times.
type way struct {
	name string
	// once is the time that a run pays once. each is the time of every image: the wall time of several at once, divided
	// by their number.
	once, each time.Duration
}

// forImages returns the wall time of a run with n images.
func (w way) forImages(n int) time.Duration { return w.once + time.Duration(n)*w.each }

// rivals measures the other ways at a new commit of the SDK. The first of the bases is for what is paid once. agent is
// the time of the image with the agent, from which two of the ways copy.
func (b *bench) rivals(ctx context.Context, bases []string) (ways []way, agent time.Duration, err error) {
	commit, err := b.sdk.Next(ctx)
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

// rivalWays are the other ways: the mark in rivals.sh, the name in the table, and how many times faster rebase has to
// be, for each image and for 40 images with everything counted.
var rivalWays = []struct {
	mark, name string
	each, at40 float64
}{
	{"sdk", "P1: the SDK's build()", 1000, 5},
	{"thin", "P2: docker build, push and rmi of a thin Dockerfile", 1000, 5},
	{"linked", "P3: docker buildx build --push of it, with COPY --link", 5, 1},
}

// waysOf computes the ways from the script's phases. With COPY --link the first image also exports the layer that the
// others share; what it takes longer than the others is paid once. In the other ways the first image only warms up.
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

// byName returns the sum of the phases of each name.
func byName(phases []phase) map[string]time.Duration {
	took := map[string]time.Duration{}
	for _, p := range phases {
		took[p.name] += p.took
	}
	return took
}
