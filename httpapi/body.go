package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// readJSON reads a JSON body of at most max bytes.
func readJSON(w http.ResponseWriter, r *http.Request, max int64) ([]byte, error) {
	if !isJSON(r.Header) {
		return nil, (&Error{Code: v1.CodeUnsupportedMediaType}).With("supported", "application/json")
	}
	tooLarge := Errorf(v1.CodeBodyTooLarge, "the body is larger than %d bytes", max).With("max_bytes", max)
	if r.ContentLength > max {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return nil, tooLarge
	case err != nil:
		return nil, Errorf(v1.CodeMalformedJSON, "the body ended early")
	}
	return body, nil
}

func isJSON(h http.Header) bool {
	if coding := h.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return false
	}
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// decodeSubmit reads a submission. encoding/json alone would let through names
// in other cases, repeated names and broken UTF-8.
func decodeSubmit(body []byte) (v1.SubmitRequest, error) {
	var req v1.SubmitRequest
	fields, err := stringObject(body, "namespace", "ciphertext")
	if err != nil {
		return req, err
	}
	req.Namespace = fields["namespace"]
	req.Ciphertext, err = v1.ParseHex(fields["ciphertext"])
	if err != nil {
		return req, Errorf(v1.CodeMalformedHex, "ciphertext: %s", strings.TrimPrefix(err.Error(), "v1: ")).With("member", "ciphertext")
	}
	return req, nil
}

// decodeMessage reads what is to be relayed.
func decodeMessage(body []byte) ([]byte, error) {
	fields, err := stringObject(body, "message")
	if err != nil {
		return nil, err
	}
	message, err := v1.ParseHex(fields["message"])
	if err != nil {
		return nil, Errorf(v1.CodeMalformedHex, "message: %s", strings.TrimPrefix(err.Error(), "v1: ")).With("member", "message")
	}
	return message, nil
}

// stringObject reads one JSON object that has exactly the given members, all strings.
func stringObject(body []byte, names ...string) (map[string]string, error) {
	if !utf8.Valid(body) {
		return nil, Errorf(v1.CodeMalformedJSON, "the body is not UTF-8")
	}
	if !json.Valid(body) { // one value with nothing after it
		return nil, Errorf(v1.CodeMalformedJSON, "the body is not one JSON value")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, _ := dec.Token(); t != json.Delim('{') {
		return nil, Errorf(v1.CodeMalformedJSON, "the body is not a JSON object")
	}
	fields := make(map[string]string, len(names))
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, Errorf(v1.CodeMalformedJSON, "the body is not one JSON value")
		}
		name, _ := t.(string)
		if !slices.Contains(names, name) {
			return nil, Errorf(v1.CodeMalformedJSON, "there is no member %.40q", name)
		}
		if _, twice := fields[name]; twice {
			return nil, Errorf(v1.CodeMalformedJSON, "the member %q is given twice", name)
		}
		t, _ = dec.Token()
		value, ok := t.(string)
		if !ok {
			return nil, Errorf(v1.CodeMalformedJSON, "the member %q is not a string", name)
		}
		fields[name] = value
	}
	for _, name := range names {
		if _, ok := fields[name]; !ok {
			return nil, Errorf(v1.CodeMalformedJSON, "the member %q is missing", name)
		}
	}
	return fields, nil
}
