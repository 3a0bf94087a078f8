package limited

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestFloor(t *testing.T) {
	cases := []struct {
		limits Limits
		writes int
		want   time.Duration
	}{
		{Limits{2000, 40}, 40, 0},
		{Limits{2000, 40}, 2040, time.Minute},
		{Limits{60, 1}, 11, 10 * time.Second},
		{Limits{}, 10_000, 0},
	}
	for _, c := range cases {
		if got := c.limits.Floor(c.writes); got != c.want {
			t.Errorf("%+v: the floor of %d writes is %s, want %s", c.limits, c.writes, got, c.want)
		}
	}
}

// A client that waits as long as told gets exactly the rate; one that does not wait gets no more.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{PerMinute: 600, Burst: 3}
		r := newRegistry(limits)
		begin := time.Now()
		for done := 0; done < 23; {
			wait := r.take(http.MethodPut, time.Now())
			if wait == 0 {
				done++
				continue
			}
			if r.take(http.MethodPost, time.Now()) == 0 {
				t.Fatal("another write passed at once")
			}
			if r.take(http.MethodGet, time.Now()) != 0 {
				t.Fatal("a read has to wait")
			}
			time.Sleep(wait + time.Microsecond)
		}
		if took, floor := time.Since(begin), limits.Floor(23); took < floor || took > floor+time.Millisecond {
			t.Errorf("23 writes took %s, want %s", took, floor)
		}
		if got := r.Counts()[http.MethodPut]; got != 23 || Writes(r.Counts()) != 23 || r.Refused() != 2*r.Counts()[http.MethodGet] {
			t.Errorf("%v passed and %d were refused", r.Counts(), r.Refused())
		}
	})
}

// A push stops at the limit. The registry behind the proxy sees the proxy's host name, from which it makes the Location
// of an upload.
func TestRegistry(t *testing.T) {
	hosts, images := make(chan string, 100), registry.New()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		images.ServeHTTP(w, r)
	}))
	defer behind.Close()
	front, err := Start("127.0.0.1", strings.TrimPrefix(behind.URL, "http://"), Limits{PerMinute: 60, Burst: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(front.Address + "/a/b:c")
	if err != nil {
		t.Fatal(err)
	}
	once := remote.WithRetryBackoff(remote.Backoff{Steps: 1})
	if err := remote.Write(ref, image, once, remote.WithJobs(1)); err == nil || !strings.Contains(err.Error(), "allowed: 60/minute") {
		t.Errorf("the 6th write of a push ends with %v, want the answer of ghcr.io", err)
	}
	want := map[string]int{http.MethodPost: 2, http.MethodPatch: 2, http.MethodPut: 1}
	writes := front.Counts()
	delete(writes, http.MethodGet)
	delete(writes, http.MethodHead)
	if diff := cmp.Diff(want, writes); diff != "" {
		t.Errorf("writes that passed (-want +got):\n%s", diff)
	}
	if host := <-hosts; host != front.Address {
		t.Errorf("the registry hears the name %s, want %s", host, front.Address)
	}
	answer, err := http.Post("http://"+front.Address+"/v2/a/b/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	after := answer.Header.Get("Retry-After")
	if wait, err := time.ParseDuration(after); answer.StatusCode != http.StatusTooManyRequests || err != nil ||
		!strings.HasSuffix(after, "ms") || wait <= 0 || wait > time.Second {
		t.Errorf("%s, Retry-After %q; want a 429 and milliseconds of at most a second", answer.Status, after)
	}
}
