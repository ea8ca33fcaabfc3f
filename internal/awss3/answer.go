package awss3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
)

// walk tells leaf of the text of every element that has no others in it, by the names of those it is in
// ("ListBucketResult/Contents/Key"). It reads tokens: xml.Unmarshal would bring a third more of encoding/xml
// into the bootstrap.
func walk(text []byte, leaf func(path, value string)) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	var path []string
	var value strings.Builder
	deepest := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) >= 16 {
				return errors.New("it is nested too deeply")
			}
			path, deepest = append(path, t.Name.Local), true
			value.Reset()
		case xml.CharData:
			value.Write(t)
		case xml.EndElement:
			if deepest {
				leaf(strings.Join(path, "/"), value.String())
			}
			path, deepest = path[:len(path)-1], false
		}
	}
}

// readPage reads the answer to ListObjectsV2.
func readPage(text []byte) (*Page, error) {
	page, encoded, truncated := &Page{}, false, false
	root := false
	err := walk(text, func(path, value string) {
		root = root || strings.HasPrefix(path, "ListBucketResult")
		switch path {
		case "ListBucketResult/Contents/Key":
			page.Keys = append(page.Keys, value)
		case "ListBucketResult/EncodingType":
			encoded = strings.TrimSpace(value) == "url"
		case "ListBucketResult/IsTruncated":
			truncated = strings.TrimSpace(value) == "true"
		case "ListBucketResult/NextContinuationToken":
			page.Next = value
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !root:
		return nil, errors.New("it is no list of objects")
	case !truncated:
		page.Next = ""
	case page.Next == "":
		return nil, errors.New("it says that there is more, and not where")
	}
	for i, key := range page.Keys {
		if !encoded {
			break
		}
		if page.Keys[i], err = url.QueryUnescape(key); err != nil {
			return nil, err
		}
	}
	return page, nil
}
