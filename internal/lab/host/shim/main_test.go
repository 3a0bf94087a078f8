package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBounding(t *testing.T) {
	have, err := bounding("Name:\tx\nCapBnd:\t000001fffeffffff\n")
	if err != nil {
		t.Fatal(err)
	}
	if have["CAP_SYS_RESOURCE"] || !have["CAP_SYS_ADMIN"] || !have["CAP_CHECKPOINT_RESTORE"] || len(have) != 40 {
		t.Errorf("have %d: %v; want all 41 but CAP_SYS_RESOURCE", len(have), have)
	}
}

func TestFilter(t *testing.T) {
	have := map[string]bool{"CAP_CHOWN": true}
	cases := []struct {
		name      string
		inProcess bool
		in, want  string
	}{
		{
			"a bundle", true, `{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"]}},"x":1}`,
			`{"process":{"capabilities":{"bounding":["CAP_CHOWN"]}},"x":1}`,
		},
		{
			"a process of exec", false, `{"args":["a"],"capabilities":{"effective":["CAP_SYS_RESOURCE"]}}`,
			`{"args":["a"],"capabilities":{"effective":[]}}`,
		},
		{
			"a large number", true, `{"process":{"rlimits":[{"hard":18446744073709551615}]}}`,
			`{"process":{"rlimits":[{"hard":18446744073709551615}]}}`,
		},
		{"no capabilities", true, `{"process":{}}`, `{"process":{}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := filter([]byte(c.in), c.inProcess, have)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	got := files([]string{"--log", "l", "create", "--bundle", "/b", "--pid-file=p", "id"})
	if diff := cmp.Diff(map[string]bool{"/b/config.json": true}, got); diff != "" {
		t.Error(diff)
	}
	got = files([]string{"exec", "--process=/p.json", "id"})
	if diff := cmp.Diff(map[string]bool{"/p.json": false}, got); diff != "" {
		t.Error(diff)
	}
}
