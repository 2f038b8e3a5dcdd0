package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// Error is an error that the API shows to its caller, as a problem.
type Error struct {
	Code       string         // one of the table's, see ProblemTypes; any other becomes a 500
	Detail     string         // what happened, for people; empty: the code's general meaning
	Extra      map[string]any // further members of the problem, as the limit that was hit (snake_case)
	RetryAfter time.Duration  // when to try again, 0: the code's default
}

// Errorf makes an Error with a formatted detail.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// With adds a member to the problem and returns e.
func (e *Error) With(key string, value any) *Error {
	if e.Extra == nil {
		e.Extra = make(map[string]any)
	}
	e.Extra[key] = value
	return e
}

// Error is "code: detail".
func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// ProblemType is what a code means: one row of the table that problems, the
// pages under /problems and docs/errors.md are made of.
type ProblemType struct {
	Code       string
	Status     int
	Title      string        // the same for every occurrence
	Meaning    string        // when it is given
	Mend       string        // what the caller can do
	Members    string        // further members that a problem of this type may carry, "" if none
	RetryAfter time.Duration // default of the Retry-After header, 0: none
}

// ProblemTypes gives the table, in the order of the documentation.
func ProblemTypes() []ProblemType { return slices.Clone(problemTypes) }

var problemTypes = []ProblemType{
	// The request as such.
	{
		Code: v1.CodeMalformedJSON, Status: http.StatusBadRequest, Title: "The body is not the JSON object expected",
		Meaning: "The body is not one JSON object with exactly the documented members, each once and of its type, and nothing after it.",
		Mend:    "Send {\"namespace\": \"...\", \"ciphertext\": \"0x...\"}, for a ceremony message {\"message\": \"0x...\"}, and nothing else. Names are case-sensitive.",
	}, {
		Code: v1.CodeMalformedHex, Status: http.StatusBadRequest, Title: "Bytes are not in 0x-hex",
		Meaning: "A value that stands for bytes is not \"0x\" followed by an even number of lower-case hexadecimal digits.",
		Mend:    "Encode the bytes as lower-case hex with the prefix 0x.",
		Members: "member: the member of the body at fault",
	}, {
		Code: v1.CodeUnsupportedMediaType, Status: http.StatusUnsupportedMediaType, Title: "The body is of an unsupported type",
		Meaning: "The body is not application/json in UTF-8 without content coding.",
		Mend:    "Send Content-Type: application/json and no Content-Encoding.",
		Members: "supported: the media type to use",
	}, {
		Code: v1.CodeBodyTooLarge, Status: http.StatusRequestEntityTooLarge, Title: "The body is too large",
		Meaning: "The body is larger than the node reads.",
		Mend:    "Keep below max_body_bytes of GET /v1/limits. A ciphertext of the largest size class fits.",
		Members: "max_bytes: the limit in bytes",
	}, {
		Code: v1.CodeInvalidID, Status: http.StatusBadRequest, Title: "Not an id",
		Meaning: "An id is not \"0x\" and 64 lower-case hexadecimal digits.",
		Mend:    "Use the id as the node gave it, or as your wallet computed it from the ciphertext.",
	}, {
		Code: v1.CodeInvalidHeight, Status: http.StatusBadRequest, Title: "Not a height",
		Meaning: "A height is not a decimal number from 1 to 2^53-1 without leading zeros.",
		Mend:    "Give the height of a block that ordered something, see GET /v1/batches.",
	}, {
		Code: v1.CodeInvalidEpoch, Status: http.StatusBadRequest, Title: "Not an epoch",
		Meaning: "The parameter from is not a decimal number from 0 to 2^53-1 without leading zeros.",
		Mend:    "Give next of an earlier page or the epoch of a committee, or leave from out to begin at the first.",
	}, {
		Code: v1.CodeInvalidCursor, Status: http.StatusBadRequest, Title: "Not a cursor",
		Meaning: "The parameter after is not the next of an earlier page.",
		Mend:    "Give next of an earlier page unchanged, or leave after out to begin at the beginning.",
	}, {
		Code: v1.CodeInvalidLimit, Status: http.StatusBadRequest, Title: "Not a page size",
		Meaning: "The parameter limit is not a decimal number from 1 to the largest page size.",
		Mend:    "Ask for fewer items, and follow next.",
		Members: "max: the largest page size",
	}, {
		Code: v1.CodeUnknownParameter, Status: http.StatusBadRequest, Title: "A query parameter is unknown or given twice",
		Meaning: "The query has a parameter that the resource does not know, the same one twice, or it can't be decoded.",
		Mend:    "Check the spelling; GET /v1/openapi.yaml lists the parameters of each resource.",
		Members: "parameter: its name",
	}, {
		Code: v1.CodeNotFound, Status: http.StatusNotFound, Title: "Not found",
		Meaning: "There is no such resource, or this node knows nothing of it (yet).",
		Mend:    "Check the address. A transaction that was only submitted elsewhere is known here once it is ordered; a height that ordered nothing has no batch.",
	}, {
		Code: v1.CodeMethodNotAllowed, Status: http.StatusMethodNotAllowed, Title: "Method not allowed",
		Meaning: "The resource does not answer to this method.",
		Mend:    "Use one of the methods in the Allow header.",
		Members: "allow: the methods that it answers to",
	},

	// The ciphertext.
	{
		Code: v1.CodeMalformedCiphertext, Status: http.StatusBadRequest, Title: "The ciphertext can't be read",
		Meaning: "The bytes are not the canonical encoding of a ciphertext: wrong version, length, size class or header.",
		Mend:    "Seal with a current wallet, and send the bytes as they were sealed.",
	}, {
		Code: v1.CodeWrongChain, Status: http.StatusUnprocessableEntity, Title: "Sealed for another chain",
		Meaning: "The ciphertext names a chain id that is not this network's.",
		Mend:    "Check that you talk to the right network, and seal again with its chain id.",
		Members: "chain_id: the chain id of this network",
	}, {
		Code: v1.CodeWrongKey, Status: http.StatusUnprocessableEntity, Title: "Sealed to a key that is not active",
		Meaning: "The ciphertext names an encryption key that the committee does not open any more, or not yet.",
		Mend:    "Fetch GET /v1/encryption-key and seal again.",
		Members: "key_ids: the active keys",
	}, {
		Code: v1.CodeKeyRetired, Status: http.StatusUnprocessableEntity, Title: "Sealed to a key that is retired",
		Meaning: "The committee has rotated its key, and the time in which ciphertexts sealed to the old one were still ordered is over.",
		Mend:    "Fetch GET /v1/encryption-key, check the new committee's certificate, and seal again.",
		Members: "key_ids: the active keys",
	}, {
		Code: v1.CodeKeyRetiring, Status: http.StatusUnprocessableEntity, Title: "Sealed to a key that retires too soon",
		Meaning: "The committee has rotated its key. The old one is still taken, but not up to the ciphertext's valid_until, so the promise of a receipt could not be kept.",
		Mend:    "Seal again to the newest key of GET /v1/encryption-key, or with a valid_until that is not above the old key's.",
		Members: "key_ids: the active keys",
	}, {
		Code: v1.CodeInvalidProof, Status: http.StatusUnprocessableEntity, Title: "The proof does not hold",
		Meaning: "The ciphertext's proof of well-formedness does not verify: it was damaged, altered, or never sealed properly.",
		Mend:    "Seal again. A ciphertext can't be changed after sealing, also not its header.",
	}, {
		Code: v1.CodeInvalidPoint, Status: http.StatusUnprocessableEntity, Title: "A point of the ciphertext is invalid",
		Meaning: "A point is not on the curve, not in the prime-order subgroup, or not canonically encoded.",
		Mend:    "Seal with a current wallet.",
	}, {
		Code: v1.CodeOversize, Status: http.StatusRequestEntityTooLarge, Title: "The ciphertext is too large",
		Meaning: "Its size class is above what this network accepts.",
		Mend:    "Keep the plaintext below max_plaintext_bytes of GET /v1/limits.",
		Members: "max_size_class, max_plaintext_bytes: the limits",
	}, {
		Code: v1.CodeExpired, Status: http.StatusUnprocessableEntity, Title: "The ciphertext has expired",
		Meaning: "Its valid_until height has passed, so it can't be ordered any more.",
		Mend:    "Seal again with a later valid_until.",
		Members: "height: the chain's height; valid_until: the ciphertext's",
	}, {
		Code: v1.CodeValidUntilTooFar, Status: http.StatusUnprocessableEntity, Title: "valid_until is too far ahead",
		Meaning: "Its valid_until height is more than max_validity blocks ahead.",
		Mend:    "Seal again with valid_until at most height + max_validity, both from GET /v1/limits.",
		Members: "height, max_validity, valid_until",
	}, {
		Code: v1.CodeInvalidNamespace, Status: http.StatusUnprocessableEntity, Title: "Not a namespace",
		Meaning: "The namespace is not 1 to 32 characters of a-z, 0-9, '-' and '.' that begin and end with a letter or digit.",
		Mend:    "Use the namespace that the rollup or application documents.",
	}, {
		Code: v1.CodeNamespaceMismatch, Status: http.StatusUnprocessableEntity, Title: "The namespaces differ",
		Meaning: "The namespace of the request is not the one that the ciphertext was sealed for.",
		Mend:    "Send the namespace that was given when sealing.",
		Members: "namespace: the ciphertext's",
	}, {
		Code: v1.CodeAlreadyOrdered, Status: http.StatusConflict, Title: "Ordered before",
		Meaning: "A block has ordered this ciphertext already, so it can't be ordered again.",
		Mend:    "Nothing: GET /v1/transactions/{id} says what became of it.",
	},

	// The ceremony message.
	{
		Code: v1.CodeMalformedMessage, Status: http.StatusBadRequest, Title: "The ceremony message can't be read",
		Meaning: "The bytes are not the canonical encoding of a ceremony message, or too many.",
		Mend:    "Send the message as 'scrim member' signs it; docs/spec/keygen.md has its form.",
	}, {
		Code: v1.CodeNotAdmitted, Status: http.StatusUnprocessableEntity, Title: "The ceremony does not take the message",
		Meaning: "The message can be read, but no block would take it: it is for another ceremony or phase, is known already, or its signature does not hold.",
		Mend:    "See GET /v1/ceremonies/{id}. After early send it again later; after duplicate there is nothing to do.",
		Members: "reason: other_ceremony, kind, member, signature, early, late, over, unasked, duplicate, not_next or other; phase: where the ceremony stands",
	},

	// The node.
	{
		Code: v1.CodeRateLimited, Status: http.StatusTooManyRequests, Title: "Too many requests",
		Meaning: "Your address has sent more submissions in a minute than the node takes from one.",
		Mend:    "Wait as long as Retry-After says, or submit through another member. Submissions already answered need no repetition.",
		Members: "rate_per_minute: the limit", RetryAfter: time.Minute,
	}, {
		Code: v1.CodeTooManyWaiting, Status: http.StatusTooManyRequests, Title: "Too many of yours are waiting",
		Meaning: "Much is waiting to be ordered, and of your address as much as one address may have waiting then.",
		Mend:    "Try again after Retry-After seconds, when some of it is ordered, or submit through another member; the same ciphertext may be sent again.",
		Members: "limit: how many of one address may wait then, beyond what came in before", RetryAfter: 2 * time.Second,
	}, {
		Code: v1.CodeMempoolFull, Status: http.StatusServiceUnavailable, Title: "The mempool is full",
		Meaning: "As many ciphertexts are waiting as the node keeps, or as this member may bring in while there are many.",
		Mend:    "Try again after Retry-After seconds; the same ciphertext may be sent again.",
		Members: "limit: how many it keeps", RetryAfter: 2 * time.Second,
	}, {
		Code: v1.CodeNoCommittee, Status: http.StatusServiceUnavailable, Title: "No committee is active",
		Meaning: "The key ceremony has not ended yet, so there is no key to seal to.",
		Mend:    "Watch GET /v1/ceremonies, and try again.",
		Members: "", RetryAfter: 2 * time.Second,
	}, {
		Code: v1.CodeNotInOffice, Status: http.StatusServiceUnavailable, Title: "The node is not in the committee",
		Meaning: "The node follows the chain, but its operator is not a member of the committee in office: it could give no receipt that binds anyone.",
		Mend:    "Submit through a member of the committee; GET /v1/committee lists them.",
		Members: "epoch: of the committee in office", RetryAfter: 30 * time.Second,
	}, {
		Code: v1.CodeNotSynced, Status: http.StatusServiceUnavailable, Title: "The node is catching up",
		Meaning: "The node is behind the chain, so it can't judge submissions or answer for the present.",
		Mend:    "Use another member, or try again after Retry-After seconds.",
		Members: "height: how far this node is", RetryAfter: 5 * time.Second,
	}, {
		Code: v1.CodeNotReady, Status: http.StatusServiceUnavailable, Title: "The node is not ready",
		Meaning: "The answer of GET /readyz while anything is missing that the node needs to serve.",
		Mend:    "The members reasons say what is missing; those who run the node find each in its log.",
		Members: "reasons: a list of {code, detail}; height; epoch; in_office; peers", RetryAfter: 5 * time.Second,
	}, {
		Code: v1.CodeBusy, Status: http.StatusServiceUnavailable, Title: "The node is busy",
		Meaning: "As many requests (or exports) are being served as the node serves at once.",
		Mend:    "Try again after Retry-After seconds.",
		Members: "max: the limit", RetryAfter: time.Second,
	}, {
		Code: v1.CodeTimeout, Status: http.StatusServiceUnavailable, Title: "The answer took too long",
		Meaning: "The node could not answer in the time it gives one request.",
		Mend:    "Try again; a submission may be repeated safely, the answer is the same.",
		Members: "", RetryAfter: time.Second,
	}, {
		Code: v1.CodeInternal, Status: http.StatusInternalServerError, Title: "Internal error",
		Meaning: "Something is wrong in the node. The details are in its log only.",
		Mend:    "Tell those who run the node the request_id. Use another member meanwhile.",
	},
}

var problemTypeByCode = func() map[string]ProblemType {
	m := make(map[string]ProblemType, len(problemTypes))
	for _, p := range problemTypes {
		m[p.Code] = p
	}
	return m
}()

// ProblemTypeOf gives the row of a code.
func ProblemTypeOf(code string) (ProblemType, bool) {
	p, ok := problemTypeByCode[code]
	return p, ok
}

// writeProblem answers with e, whose code is in the table.
func writeProblem(w http.ResponseWriter, r *http.Request, e *Error) {
	kind := problemTypeByCode[e.Code]
	detail := e.Detail
	if detail == "" {
		detail = kind.Meaning
	}
	body := maps.Clone(e.Extra)
	if body == nil {
		body = make(map[string]any)
	}
	// Written last: an extra member never shadows one of the standard's.
	body["type"] = "/problems/" + kind.Code
	body["title"] = kind.Title
	body["status"] = kind.Status
	body["detail"] = detail
	body["instance"] = r.URL.EscapedPath()
	body["code"] = kind.Code
	body["request_id"] = w.Header().Get(headerRequestID)

	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if wait := max(e.RetryAfter, 0); wait > 0 || kind.RetryAfter > 0 {
		if wait == 0 {
			wait = kind.RetryAfter
		}
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	b, err := json.Marshal(body)
	if err != nil { // an extra member that is not JSON: say the rest
		b, _ = json.Marshal(v1.Problem{
			Type: "/problems/" + kind.Code, Title: kind.Title, Status: kind.Status, Detail: detail,
			Instance: r.URL.EscapedPath(), Code: kind.Code, RequestID: h.Get(headerRequestID),
		})
	}
	w.WriteHeader(kind.Status)
	_, _ = w.Write(append(b, '\n')) // fails when the client has gone
}

// page is what /problems/{code} says, in plain text.
func (p ProblemType) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s (HTTP status %d)\n\n%s\n\nWhat to do: %s\n", p.Code, p.Title, p.Status, p.Meaning, p.Mend)
	if p.Members != "" {
		fmt.Fprintf(&b, "\nFurther members: %s\n", p.Members)
	}
	if p.RetryAfter > 0 {
		fmt.Fprintf(&b, "\nThe Retry-After header says when to try again.\n")
	}
	return b.String()
}

func problemIndex() string {
	var b strings.Builder
	b.WriteString("Problems of this API (RFC 9457). Each has a page at /problems/<code>.\n\n")
	for _, p := range problemTypes {
		fmt.Fprintf(&b, "%-24s %d  %s\n", p.Code, p.Status, p.Title)
	}
	return b.String()
}
