package v1

// Codes of problems: stable, for machines to branch on. The table in httpapi
// gives each its HTTP status and what to do; docs/errors.md lists them.
const (
	CodeMalformedJSON        = "malformed_json"
	CodeMalformedHex         = "malformed_hex"
	CodeMalformedCiphertext  = "malformed_ciphertext"
	CodeWrongChain           = "wrong_chain"
	CodeWrongKey             = "wrong_key"
	CodeKeyRetired           = "key_retired"
	CodeKeyRetiring          = "key_retiring"
	CodeInvalidProof         = "invalid_proof"
	CodeInvalidPoint         = "invalid_point"
	CodeOversize             = "oversize"
	CodeExpired              = "expired"
	CodeValidUntilTooFar     = "valid_until_too_far"
	CodeInvalidNamespace     = "invalid_namespace"
	CodeNamespaceMismatch    = "namespace_mismatch"
	CodeAlreadyOrdered       = "already_ordered"
	CodeMalformedMessage     = "malformed_message"
	CodeNotAdmitted          = "not_admitted"
	CodeNoCommittee          = "no_committee"
	CodeMempoolFull          = "mempool_full"
	CodeTooManyWaiting       = "too_many_waiting"
	CodeRateLimited          = "rate_limited"
	CodeBusy                 = "busy"
	CodeTimeout              = "timeout"
	CodeBodyTooLarge         = "body_too_large"
	CodeNotFound             = "not_found"
	CodeInvalidEpoch         = "invalid_epoch"
	CodeInvalidCursor        = "invalid_cursor"
	CodeInvalidID            = "invalid_id"
	CodeInvalidHeight        = "invalid_height"
	CodeInvalidLimit         = "invalid_limit"
	CodeUnknownParameter     = "unknown_parameter"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeNotInOffice          = "not_in_office"
	CodeNotSynced            = "not_synced"
	CodeNotReady             = "not_ready"
	CodeInternal             = "internal"
)

// Problem is an error answer, RFC 9457, application/problem+json. Further
// members say what the limit was: see the code's entry in docs/errors.md.
type Problem struct {
	Type      string `json:"type"` // "/problems/<code>", relative to the node
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Instance  string `json:"instance"` // path of the request
	Code      string `json:"code"`
	RequestID string `json:"request_id"` // as in the X-Request-Id header
}
