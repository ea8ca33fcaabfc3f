package awssqs

import (
	"crypto/md5" // #nosec G501 -- SQS tells MD5: against damage, not forgery
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// checkSums compares a message with the sums that SQS has told, as far as it has.
func checkSums(body, bodySum *string, attributes map[string]MessageAttributeValue, attributesSum *string) error {
	if body != nil && bodySum != nil {
		sum := md5.Sum(unsafe.Slice(unsafe.StringData(*body), len(*body))) // #nosec G401 -- SQS tells MD5; Sum only reads the string
		if got := hex.EncodeToString(sum[:]); got != *bodySum {
			return fmt.Errorf("its body has the MD5 %s, SQS says %.40q", got, *bodySum)
		}
	}
	if len(attributes) > 0 && attributesSum != nil {
		if got := attributesMD5(attributes); got != *attributesSum {
			return fmt.Errorf("its attributes have the MD5 %s, SQS says %.40q", got, *attributesSum)
		}
	}
	return nil
}

// attributesMD5 is as the SQS Developer Guide has it under "Calculating the MD5 message digest for message attributes".
func attributesMD5(all map[string]MessageAttributeValue) string {
	h := md5.New() // #nosec G401 -- SQS tells MD5
	put := func(s string) {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(s)))
		h.Write(length[:])
		io.WriteString(h, s)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := all[name]
		put(name)
		put(aws.ToString(v.DataType))
		if strings.HasPrefix(aws.ToString(v.DataType), "Binary") {
			h.Write([]byte{2})
			put(string(v.BinaryValue))
		} else {
			h.Write([]byte{1})
			put(aws.ToString(v.StringValue))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
