package mototest

import (
	"net/http"
	"strings"
	"testing"
)

// CreateBucket makes a bucket of eu-west-1 on moto, or on what stands in front of it and goes by the signature's scope.
func CreateBucket(t *testing.T, url, name string) {
	t.Helper()
	const where = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/"+name, strings.NewReader(where))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=00")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("create the bucket %s: status %d", name, res.StatusCode)
	}
}
