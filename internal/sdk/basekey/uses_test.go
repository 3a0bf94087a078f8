package basekey

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUsesOf(t *testing.T) {
	cases := map[string]struct {
		steps string
		want  Uses
	}{
		// The SDK's source-minimal and binary-minimal (software-agent-sdk, openhands-agent-server/.../docker/Dockerfile).
		"source-minimal": {`ARG USERNAME
COPY --chown=${USERNAME}:${USERNAME} --from=builder /agent-server /agent-server
ENTRYPOINT ["tini", "--", "/agent-server/.venv/bin/python", "-m", "openhands.agent_server"]`, Uses{Variables: []string{"USERNAME"}}},
		"binary-minimal": {
			`ARG USERNAME
COPY --chown=${USERNAME}:${USERNAME} --from=builder /agent-server/dist/openhands-agent-server /usr/local/bin/openhands-agent-server
RUN chmod +x /usr/local/bin/openhands-agent-server
# Use the system's libraries
ENV LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu:/usr/lib:/usr/lib/x86_64-linux-gnu:$LD_LIBRARY_PATH
ENTRYPOINT ["tini", "--", "/usr/local/bin/openhands-agent-server"]`,
			Uses{Variables: []string{"LD_LIBRARY_PATH", "USERNAME"}, WorkingDir: true, Shell: true},
		},
		"constants":                  {"ENV A=1 B=2\nLABEL l=v\nWORKDIR /w\nUSER o\nEXPOSE 80\nVOLUME /v\nCMD [\"x\"]", Uses{}},
		"a default":                  {"ENV A=${A:-x}", Uses{Variables: []string{"A"}}},
		"a variable in a default":    {"ENV A=${A:-$B}", Uses{Variables: []string{"A", "B"}}},
		"a label":                    {"LABEL l=\"$X\"", Uses{Variables: []string{"X"}}},
		"other instructions":         {"ARG A=$B\nUSER $C\nEXPOSE $D\nVOLUME /$E\nSTOPSIGNAL $F\nADD --chown=$G http://x/y /z", Uses{Variables: []string{"B", "C", "D", "E", "F", "G"}}},
		"over several lines":         {"ENV A=1 \\\n  B=$C", Uses{Variables: []string{"C"}}},
		"a here-document":            {"COPY <<EOT /file\n$A\nEOT", Uses{Variables: []string{"A"}}},
		"a command's variable":       {"WORKDIR /\nRUN [\"sh\", \"-c\", \"echo $A\"]", Uses{Variables: []string{"A"}}},
		"a relative directory":       {"WORKDIR sub", Uses{WorkingDir: true}},
		"one below its own":          {"WORKDIR /w\nWORKDIR sub\nCOPY a .\nADD a .", Uses{}},
		"one that a variable begins": {"WORKDIR $A/sub", Uses{Variables: []string{"A"}, WorkingDir: true}},
		"a relative copy":            {"COPY a b", Uses{WorkingDir: true}},
		"a relative ADD":             {"ADD a b", Uses{WorkingDir: true}},
		"CMD in shell form":          {"CMD x", Uses{Shell: true}},
		"ENTRYPOINT in shell form":   {"ENTRYPOINT x", Uses{Shell: true}},
		"a SHELL of its own":         {"SHELL [\"bash\", \"-c\"]\nWORKDIR /\nRUN x\nCMD x", Uses{}},
		"RUN without a shell":        {"RUN [\"x\"]", Uses{WorkingDir: true}},
		"nothing":                    {"", Uses{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := UsesOf([]byte("FROM debian AS builder\nENV OF_ANOTHER=$STAGE\nFROM base AS Target\n"+c.steps+"\nFROM Target\nENV A=$LATER\n"), "target")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("taken (-want +got):\n%s", diff)
			}
		})
	}
	for _, text := range []string{"FROM", "FROM base AS other\n"} {
		if got, err := UsesOf([]byte(text), "target"); err == nil {
			t.Errorf("%q: it takes %+v", text, got)
		}
	}
}
