package rebase

import "testing"

// TestApplyRefusesWhatItMayTakeIn learns from two references whose bases have nothing that the Dockerfile takes in, or
// less than the third.
func TestApplyRefusesWhatItMayTakeIn(t *testing.T) {
	variables := func(names ...string) Uses { return Uses{Variables: names} }
	cases := map[string]struct {
		uses Uses
		a, b [2]string // the settings of a reference's base, and of the reference
		base string
		want string // the settings of the image, or
		says string // why it is refused
	}{
		// ENV X=/a:$X
		"a variable in front of itself": {
			variables("X"),
			[2]string{`{}`, `{"Env":["X=/a:"]}`},
			[2]string{`{"Env":["P=1"]}`, `{"Env":["P=1","X=/a:"]}`},
			`{"Env":["X=/opt/x"]}`, "", "config.Env[X]",
		},
		"the same on a base without it": {
			variables("X"),
			[2]string{`{}`, `{"Env":["X=/a:"]}`},
			[2]string{`{"Env":["P=1"]}`, `{"Env":["P=1","X=/a:"]}`},
			`{"Env":["P=/opt/x"]}`, `{"Env":["P=/opt/x","X=/a:"]}`, "",
		},
		"the same on a base that has it empty": {
			variables("X"),
			[2]string{`{}`, `{"Env":["X=/a:"]}`},
			[2]string{`{}`, `{"Env":["X=/a:"]}`},
			`{"Env":["X="]}`, "", "config.Env[X]",
		},
		// ENV A=${A:-x}
		"a default": {
			variables("A"),
			[2]string{`{}`, `{"Env":["A=x"]}`},
			[2]string{`{}`, `{"Env":["A=x"]}`},
			`{"Env":["A=y"]}`, "", "config.Env[A]",
		},
		"a default that a reference's base has": {
			variables("A"),
			[2]string{`{}`, `{"Env":["A=x"]}`},
			[2]string{`{"Env":["A=x"]}`, `{"Env":["A=x"]}`},
			`{"Env":["A=x"]}`, `{"Env":["A=x"]}`, "",
		},
		"a default that only a third base has otherwise": {
			variables("A"),
			[2]string{`{}`, `{"Env":["A=x"]}`},
			[2]string{`{"Env":["A=x"]}`, `{"Env":["A=x"]}`},
			`{"Env":["A=y"]}`, "", "config.Env[A]",
		},
		// ENV A=$B and LABEL l=$B
		"another variable": {
			variables("B"),
			[2]string{`{}`, `{"Env":["A="]}`},
			[2]string{`{}`, `{"Env":["A="]}`},
			`{"Env":["B=2"]}`, "", "config.Env[B]",
		},
		"a label with a variable": {
			variables("B"),
			[2]string{`{}`, `{"Labels":{"l":"v"}}`},
			[2]string{`{}`, `{"Labels":{"l":"v"}}`},
			`{"Env":["B=2"]}`, "", "config.Env[B]",
		},
		// ENV C=$A$B: each value was seen, both together were not.
		"two variables that no base has together": {
			variables("A", "B"),
			[2]string{`{"Env":["A=1"]}`, `{"Env":["A=1"],"User":"u"}`},
			[2]string{`{"Env":["B=1"]}`, `{"Env":["B=1"],"User":"u"}`},
			`{"Env":["A=1","B=1"]}`, "", "config.Env[",
		},
		"a base that has the variable twice": {
			variables("A"),
			[2]string{`{"Env":["A=1"]}`, `{"Env":["A=1"],"User":"u"}`},
			[2]string{`{"Env":["A=1"]}`, `{"Env":["A=1"],"User":"u"}`},
			`{"Env":["A=1","A=2"]}`, "", "config.Env[A]",
		},
		// WORKDIR sub
		"a relative path": {
			Uses{WorkingDir: true},
			[2]string{`{}`, `{"WorkingDir":"/sub"}`},
			[2]string{`{}`, `{"WorkingDir":"/sub"}`},
			`{"WorkingDir":"/testbed"}`, "", "config.WorkingDir",
		},
		"a relative path on an equal base": {
			Uses{WorkingDir: true},
			[2]string{`{"WorkingDir":"/w"}`, `{"WorkingDir":"/w/sub"}`},
			[2]string{`{"WorkingDir":"/w"}`, `{"WorkingDir":"/w/sub"}`},
			`{"WorkingDir":"/w"}`, `{"WorkingDir":"/w/sub"}`, "",
		},
		// CMD serve
		"a command in shell form": {
			Uses{Shell: true},
			[2]string{`{}`, `{"Cmd":["/bin/sh","-c","serve"]}`},
			[2]string{`{}`, `{"Cmd":["/bin/sh","-c","serve"]}`},
			`{"Shell":["/bin/bash","-c"]}`, "", "config.Shell",
		},
		// The variable of the SDK's commit is stated for each base: LABEL revision=$SHA
		"a variable that is stated": {
			variables("SHA"),
			[2]string{`{"Env":["SHA=12"]}`, `{"Env":["SHA=12"],"Labels":{"l":"12"}}`},
			[2]string{`{"Env":["SHA=12"]}`, `{"Env":["SHA=12"],"Labels":{"l":"12"}}`},
			`{"Env":["SHA=unknown"]}`, `{"Env":["SHA=12"],"Labels":{"l":"12"}}`, "",
		},
		// ENV A=1, which takes in nothing: whatever a base has, it is replaced.
		"constants": {
			variables("USERNAME"),
			[2]string{`{}`, `{"Env":["A=1"],"Labels":{"l":"v"},"WorkingDir":"/w"}`},
			[2]string{`{}`, `{"Env":["A=1"],"Labels":{"l":"v"},"WorkingDir":"/w"}`},
			`{"Env":["PATH=/opt/bin","A=2","LANG=C"],"Labels":{"l":"own","o":"1"},"WorkingDir":"/testbed","Shell":["bash"]}`,
			`{"Env":["PATH=/opt/bin","A=1","LANG=C"],"Labels":{"l":"v","o":"1"},"WorkingDir":"/w","Shell":["bash"]}`, "",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			learned := func(settings [2]string) Delta {
				base := fixture{layers: []string{"os"}, settings: settings[0]}
				c, err := Diff(base.on(settings[1]).image(), base.image(), tc.uses)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c, err := Intersect(learned(tc.a), learned(tc.b))
			if err != nil {
				t.Fatal(err)
			}
			img, err := c.Apply(fixture{layers: []string{"other"}, settings: tc.base}.image(), "n", "d", map[string]string{"SHA": "12"})
			if tc.says != "" {
				refusedFor(t, err, tc.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := settingsOf(t, img); got != tc.want {
				t.Errorf("config %s, want %s", got, tc.want)
			}
		})
	}
}
