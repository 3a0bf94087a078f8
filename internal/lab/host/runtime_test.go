package host

import "testing"

func TestHasAll(t *testing.T) {
	cases := []struct {
		name, status, last string
		want               bool
	}{
		{"all 41", "CapBnd:\t000001ffffffffff\n", "40\n", true},
		{"without CAP_SYS_RESOURCE", "CapPrm:\t1\nCapBnd:\t000001fffeffffff\n", "40\n", false},
		{"an older kernel has fewer", "CapBnd:\t0000003fffffffff\n", "37\n", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := hasAll(c.status, c.last)
			if err != nil || got != c.want {
				t.Errorf("hasAll = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}
