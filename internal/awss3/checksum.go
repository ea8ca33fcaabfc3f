package awss3

import (
	"crypto/sha1" // #nosec G505 -- one of S3's checksums: against damage, not forgery
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// nvme is made when it is first needed: its table has 16 KiB.
var nvme = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(0x9a6c9329ac4bc9b5) })

func crc32cOf(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)))
}

// sums are those that S3 keeps with an object, the cheapest first:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html.
var sums = [...]struct {
	name string
	make func() hash.Hash
}{
	{"X-Amz-Checksum-Crc32c", func() hash.Hash { return crc32.New(castagnoli) }},
	{"X-Amz-Checksum-Crc32", func() hash.Hash { return crc32.NewIEEE() }},
	{"X-Amz-Checksum-Crc64nvme", func() hash.Hash { return crc64.New(nvme()) }},
	{"X-Amz-Checksum-Sha1", sha1.New}, // #nosec G401 -- S3 tells it
	{"X-Amz-Checksum-Sha256", sha256.New},
}

// checkSums compares a body with the first sum that S3 tells of the whole of it. That of an object which was uploaded
// in parts may be one of the parts' sums, with their number behind it, and cannot be compared.
func checkSums(header http.Header, body []byte) error {
	for _, sum := range sums {
		want := header.Get(sum.name)
		if want == "" || strings.Contains(want, "-") {
			continue
		}
		h := sum.make()
		h.Write(body)
		if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
			return fmt.Errorf("what was read has the sum %s, and %s says %.64q", got, sum.name, want)
		}
		return nil
	}
	return nil
}
