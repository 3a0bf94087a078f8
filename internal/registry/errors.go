package registry

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrNotFound is the error for a manifest or blob that the registry does not have.
var ErrNotFound = errors.New("not found")

// notFound wraps the error for what the registry does not have in ErrNotFound.
func notFound(err error) error {
	if isMissing(err) {
		return fmt.Errorf("%w (%w)", ErrNotFound, err)
	}
	return err
}

// isMissing reports whether err is a 404 to the request itself.
func isMissing(err error) bool {
	_, handshake := errors.AsType[*handshakeError](err)
	return status(err) == http.StatusNotFound && !handshake
}

// handshakeError is an error from before the request. Token servers, too, answer with a 404 at times
// (https://github.com/podman-container-tools/podman/issues/17999), which must not be taken for that of a missing image.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// staleCredentials is the refusal of credentials that the registry accepted before. The next request asks for new ones.
type staleCredentials struct{ error }

func (e *staleCredentials) Unwrap() error { return e.error }

// Denied is an error that every image of the run would get: wrong credentials, missing rights, or no registry at that host.
type Denied struct {
	// Doing names the denied action: "pushing to ghcr.io/openhands/eval-agent-server".
	Doing string
	// Input is the action input that names the repository. Empty means "image".
	Input string
	Err   error
}

func (e *Denied) Error() string { return e.Doing + ": " + e.Err.Error() }

// Unwrap returns the registry's response as an error.
func (e *Denied) Unwrap() error { return e.Err }

// Hint says how to fix it.
func (e *Denied) Hint() string {
	input := cmp.Or(e.Input, "image")
	code := status(e.Err)
	switch {
	case isUntrusted(e.Err):
		return "let both sides trust the registry in " + input + ": for this program, name a file with its CA in SSL_CERT_FILE " +
			"(inside an action, a file below the workspace; it replaces the system's list, so append the CA to a copy of that); " +
			"for the builder, write ca = [\"PATH\"] under [registry.\"HOST\"] in buildkitd-config-inline"
	case isBadCertificate(e.Err):
		return "check that " + input + " names the registry as its certificate does, and that the certificate has not expired"
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return "check registry-username and registry-password, and that they may push to the repository in " + input +
			" (ghcr.io: a token with write:packages, and the package must grant this repository the write role); some registries " +
			"answer so for a repository that does not exist yet"
	case hasCode(e.Err, transport.NameUnknownErrorCode):
		return "create the repository in " + input + " first, or correct it: this registry makes none on a push (Amazon ECR: " +
			"aws ecr create-repository; Harbor and others: the project)"
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		return "check " + input + ": there is no registry at that host, or it takes no pushes to that repository"
	default:
		return "check that " + input + " names a registry that this process can reach: inside an action, a service " +
			"container has its own name, and localhost is the action itself; Amazon ECR breaks the connection when the " +
			"repository does not exist"
	}
}

// isUntrusted reports whether no known authority has signed the registry's certificate.
func isUntrusted(err error) bool {
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](err)
	return untrusted
}

// isBadCertificate reports whether the registry's certificate is not accepted for any reason.
func isBadCertificate(err error) bool {
	_, bad := errors.AsType[*tls.CertificateVerificationError](err)
	return bad
}

// Answered reports whether err is a response of a registry, rather than a failure to get one.
func Answered(err error) bool { return status(err) != 0 }

// status returns the HTTP status of the response in err, or 0 if there is none.
func status(err error) int {
	if response, ok := errors.AsType[*transport.Error](err); ok {
		return response.StatusCode
	}
	return 0
}

// asError adds the action and the HTTP status to the error of a request. If the registry asks to wait, it is a *RateLimited; after
// is the Retry-After of the response, or 0. The library's error for a HEAD does not name the status.
func asError(doing string, err error, after time.Duration) error {
	if limited := asRateLimited(doing, err, after); limited != nil {
		return limited
	}
	switch code := status(err); code {
	case 0:
		return fmt.Errorf("%s: %w", doing, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &Denied{Doing: doing, Err: refusal{fmt.Sprintf("%d, not allowed", code), err}}
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w", doing, refusal{"429, too many requests", err})
	default:
		return fmt.Errorf("%s: %w", doing, refusal{fmt.Sprintf("%d %s", code, http.StatusText(code)), err})
	}
}

// refusal is a response as an error: its status, and what the registry said.
type refusal struct {
	status string
	err    error
}

func (r refusal) Error() string {
	if said := said(r.err); said != "" {
		return r.status + ": " + said
	}
	return r.status
}

func (r refusal) Unwrap() error { return r.err }

const maxErrorText = 600 // bytes

// said returns what an error adds to the request and its status, on one line and cut: where a proxy answers, the body is a page of HTML.
// A token server's error keeps its request, which is not the one that the caller names.
func said(err error) string {
	text := err.Error()
	response, ok := errors.AsType[*transport.Error](err)
	if ok && response.Request != nil && strings.HasPrefix(response.Request.URL.Path, "/v2/") {
		text = strings.TrimSuffix(strings.Replace(text, response.Error(), body(response), 1), ": ")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + " ..."
	}
	return text
}

// body returns the text of a response without the request, the status, and the library's advice on HEADs. The response to a HEAD has none.
func body(response *transport.Error) string {
	_, text, _ := strings.Cut(response.Error(), ": ") // the request is before it
	rest, unnamed := strings.CutPrefix(text, fmt.Sprintf("unexpected status code %d %s", response.StatusCode, http.StatusText(response.StatusCode)))
	switch {
	case !unnamed:
		return text
	case response.Request.Method == http.MethodHead:
		return ""
	default:
		return strings.TrimPrefix(rest, ": ")
	}
}

// diagnostics returns the error codes and messages in the body of the response in err.
func diagnostics(err error) []transport.Diagnostic {
	if response, ok := errors.AsType[*transport.Error](err); ok {
		return response.Errors
	}
	return nil
}

// hasCode reports whether the response in err has one of the error codes.
func hasCode(err error, codes ...transport.ErrorCode) bool {
	return slices.ContainsFunc(diagnostics(err), func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
}

// UnknownBlobs is the error for blobs that a repository does not have: a manifest names them, or they were to be mounted from there.
type UnknownBlobs struct {
	// Digests are the blobs that the registry names, sorted and without duplicates. Some registries name only a part, or none.
	Digests []string
	Err     error
}

func (e *UnknownBlobs) Error() string { return e.Err.Error() }

// Unwrap returns the registry's response as an error.
func (e *UnknownBlobs) Unwrap() error { return e.Err }

// asUnknownBlobs returns err as an *UnknownBlobs, or nil if it is another error. It ignores the status: the registry of
// distribution/distribution answers several errors with the status of the first, which can be a 500.
func asUnknownBlobs(err error) *UnknownBlobs {
	codes := []transport.ErrorCode{transport.ManifestBlobUnknownErrorCode, transport.BlobUnknownErrorCode}
	if !hasCode(err, codes...) {
		return nil
	}
	unknown := &UnknownBlobs{Err: err}
	for _, d := range diagnostics(err) {
		if slices.Contains(codes, d.Code) {
			unknown.Digests = append(unknown.Digests, findDigests(d.Message)...)
			unknown.Digests = append(unknown.Digests, findDigests(d.Detail)...)
		}
	}
	slices.Sort(unknown.Digests)
	unknown.Digests = slices.Compact(unknown.Digests)
	return unknown
}

var digestPattern = regexp.MustCompile(`\b(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\b`)

// findDigests returns the digests in a JSON value. Registries put the digest into the detail as a string, as a field of an
// object under different names, or in a list of these.
func findDigests(value any) []string { return digestPattern.FindAllString(fmt.Sprint(value), -1) }
