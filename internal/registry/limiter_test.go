package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// 500 images of three writes each take no longer than the token bucket allows, and none fails, however small the bursts are that
// the registry accepts.
func TestFiveHundredImagesAreAsFastAsTheLimit(t *testing.T) {
	for _, host := range []string{"ghcr.io", "other.example"} {
		for _, burst := range []int{100, 32, 5} {
			t.Run(fmt.Sprint(host, ", burst ", burst), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { fiveHundred(t, host, burst) })
			})
		}
	}
}

// fiveHundred writes to a registry whose limit is known, or is learned from its first 429.
func fiveHundred(t *testing.T, host string, burst int) {
	g := registrytest.New(silent(), 2000, burst)
	c := New(authn.DefaultKeychain, registrytest.Hosts{host: g}, nil)
	begin := time.Now()
	images := make(chan string)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for config := range images {
				put(t, c, host+"/a/b", config)
				if err := c.PutManifest(t.Context(), host+"/a/b:"+config, imageOf(t, config)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 500 {
		images <- fmt.Sprint(i)
	}
	close(images)
	workers.Wait()
	took, floor := time.Since(begin), (1500-Burst)*time.Minute/WritesPerMinute
	least := floor
	if host != GitHub { // the registry accepts a burst before it names its limit
		least = time.Duration(1500-max(burst, Burst)) * time.Minute / WritesPerMinute
	}
	if took < least || took > floor*11/10 {
		t.Errorf("%v; want %v, and up to a tenth more than %v", took, least, floor)
	}
	if limited := g.RateLimited(); limited > 1500/10 || (limited > 0) != (burst < Burst || host != GitHub) {
		t.Errorf("%d writes got a 429 from a registry that accepts %d at once", limited, burst)
	}
}

func TestNoLimitElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := registrytest.New(silent(), 0, 1)
		c := New(authn.DefaultKeychain, registrytest.Hosts{"127.0.0.1:5000": g, "quay.io": g, "slow.example": g, "ghcr.io": g}, nil)
		c.Limit("slow.example", 60, 1)
		for host, want := range map[string]time.Duration{
			"127.0.0.1:5000": 0, "quay.io": 0, "slow.example": 5 * time.Second, "ghcr.io": 0,
		} {
			begin := time.Now()
			put(t, c, host+"/a/b", "1", "2", "3")
			if took := time.Since(begin); took != want {
				t.Errorf("six writes to %s took %v, want %v", host, took, want)
			}
			for range 100 {
				if _, err := c.HasBlob(t.Context(), host+"/a/b", digestOf("1")); err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(begin); took != want {
				t.Errorf("reads of %s took %v; they are not limited", host, took-want)
			}
		}
	})
}

func TestNoBurstAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(600, 20) // one in 100 ms
		begin := time.Now()
		for range 5 { // as if five workers got a 429 at once
			l.pause(4 * time.Second)
		}
		var took []time.Duration
		for range 3 {
			if _, err := l.take(t.Context(), "h", 0); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(begin).Round(10*time.Millisecond))
		}
		for i, got := range took {
			if want := 4*time.Second + time.Duration(i+1)*100*time.Millisecond; got < 4*time.Second || got > want {
				t.Errorf("write %d after a pause of 4 s came after %v, want %v: no burst, and one pause only", i, got, want)
			}
		}
		if took[2]-took[0] < 200*time.Millisecond {
			t.Errorf("a burst after the pause: %v", took)
		}
	})
}

// An extended pause removes the tokens of the extension alone.
func TestPauseIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(600, 20)
		l.pause(4 * time.Second)
		time.Sleep(time.Second)
		l.pause(4 * time.Second)
		l.pause(time.Second) // ends before
		begin := time.Now()
		if _, err := l.take(t.Context(), "h", 0); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 4*time.Second || took > 4200*time.Millisecond {
			t.Errorf("a write after %v, want 4 s", took)
		}
	})
}

func TestPauseStopsWritesThatWaitForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(60, 1)
		begin := time.Now()
		if _, err := l.take(t.Context(), "h", 0); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(500 * time.Millisecond)
			l.pause(5 * time.Second)
		}()
		if _, err := l.take(t.Context(), "h", 0); err != nil || time.Since(begin) < 5500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestPauseBeyondMaxWaitFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 1)
		l.pause(maxWait)
		begin := time.Now()
		_, err := l.take(t.Context(), "h", time.Second)
		if busy, ok := errors.AsType[*RateLimited](err); !ok || busy.RetryAfter() != maxWait || time.Since(begin) != 0 {
			t.Errorf("%v after %v; want *RateLimited, at once", err, time.Since(begin))
		}
		if waited, err := l.take(t.Context(), "h", 0); err != nil || waited != maxWait {
			t.Errorf("%v after %v; want %v and no error", err, waited, maxWait)
		}
	})
}

// A registry may ask for any pause, and name any limit.
func TestLongPauseAndNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 1)
		l.learnLimit(&transport.Error{Errors: []transport.Diagnostic{{Message: "allowed: 0/minute"}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 2 * Burst {
			if _, err := l.take(ctx, "h", 0); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		l.learnLimit(&transport.Error{Errors: []transport.Diagnostic{{Message: "allowed: 999999999/minute"}}})
		l.pause(mostRetryAfter)
		time.Sleep(mostRetryAfter)
		if _, err := l.take(t.Context(), "h", 0); err != nil || time.Since(begin) > mostRetryAfter+time.Second {
			t.Errorf("%v after %v; want no error after %v", err, time.Since(begin), mostRetryAfter)
		}
	})
}

func TestLimiterIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, l := range map[string]*limiter{"bucket": newLimiter(1, 1), "pause": newLimiter(0, 1)} {
			if _, err := l.take(t.Context(), "h", 0); err != nil {
				t.Fatal(err)
			}
			if name == "pause" {
				l.pause(9 * time.Second)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			begin := time.Now()
			if _, err := l.take(ctx, "h", 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
			cancel()
			if name == "bucket" && l.bucket.Tokens() < -0.1 {
				t.Errorf("a cancelled write kept its token: %v", l.bucket.Tokens())
			}
		}
	})
}
