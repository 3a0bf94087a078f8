package config

import "strings"

// unlessPath reads sdk-ref or sdk-repository, which mean nothing where sdk-path is given: the SDK is then that work
// tree's HEAD, and a second answer to the same question is a mistake.
func (p *parser) unlessPath(input string, read func() string) string {
	if strings.TrimSpace(p.get("sdk-path")) == "" {
		return read()
	}
	if v := p.given(input); v != "" {
		p.wrong(input, "leave out "+input+", and the HEAD of sdk-path is taken; or leave out sdk-path",
			"%s is given beside sdk-path", Quote(redacted(v)))
	}
	return ""
}

// SDKSource says for reports where the SDK comes from: a repository and a ref of it, or a path and its HEAD.
func (c Config) SDKSource() (repository, ref string) {
	if c.SDKPath != "" {
		return c.SDKPath, "HEAD"
	}
	return c.SDKRepository, c.SDKRef
}
