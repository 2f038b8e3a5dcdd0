package threshold

// SealScalars gives the one-use secrets that Seal derives, for the vectors.
func SealScalars(seed [32]byte, header, plaintext []byte) (k, w [ScalarSize]byte) {
	ks, ws, err := sealSecrets(&fixedReader{seed[:]}, header, plaintext)
	if err != nil {
		panic(err)
	}
	return ks.Bytes(), ws.Bytes()
}

type fixedReader struct{ rest []byte }

func (r *fixedReader) Read(b []byte) (int, error) {
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
