package deploy

import "github.com/tapway/tapway/internal/awssecret"

// secretARN is what the functions must be allowed to read for a reference.
func secretARN(ref string, s *Stack) (string, error) {
	return awssecret.ARN(ref, Partition(s.Region), s.Region, s.Account)
}
